"""From the settings of a model to a retina on a device."""

from __future__ import annotations

import torch

from openretina_cli.config.target import Option, build
from openretina_cli.errors import SettingError
from openretina_cli.models.download import Report
from openretina_cli.models.retina import Retina
from openretina_cli.models.seeding import seeded


def choose_device(name: str) -> torch.device:
    """The device that a setting means; "auto" is a GPU where there is one.

    Raises:
        SettingError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        expected = f"cuda:0 to cuda:{count - 1}" if count else "cpu, as torch finds no CUDA device here"
        raise SettingError(f"device={name} is not here", expected=expected, repair="device=auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingError("device=mps is not here", expected="an Apple GPU", repair="device=auto")
    return device


def build_model(option: Option, frames: int, device: torch.device, report: Report | None = None) -> Retina:
    """Load a model onto a device.

    Args:
        option: which model.
        frames: stimulus frames, on which a module of the user's is tried.
        device: where to put the model.
        report: called with the progress of a download.

    Raises:
        ModelError: the checkpoint is missing, broken or hostile, or the module cannot be used.
        DownloadError: the checkpoint could not be downloaded.
        SettingError: a setting of it is wrong.
    """
    offered = {"frames": frames, "device": device, "report": report}
    with seeded(device):  # weights that the user's code draws are the same in every run
        return build(option, Retina, offered, nested={}).to(device)
