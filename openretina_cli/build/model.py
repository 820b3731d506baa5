"""From the settings of a model to a retina on a device."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from openretina_cli.build.user_classes import build_target
from openretina_cli.config.location import PACKAGE
from openretina_cli.config.options import (
    EnsembleBundled,
    EnsembleDirectory,
    EnsembleDownload,
    EnsembleOption,
    Option,
    StimulusFacts,
    TorchModule,
)
from openretina_cli.errors import ModelError, SettingError
from openretina_cli.models.directory import Presentation, load_ensemble
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.held_weights import digest_of_weights
from openretina_cli.models.module import Stated
from openretina_cli.models.safe_files import read_state_dict
from openretina_cli.models.seeding import seeded
from openretina_cli.models.twin import Retina
from openretina_cli.models.wrap import wrap_module


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


def remote_checkpoint(option: EnsembleDownload) -> RemoteCheckpoint:
    """Where the files of a published ensemble are."""
    return RemoteCheckpoint.ensemble(option.name, option.url, option.seeds)


def _presentation(option: StimulusFacts, name: str, source: str = "") -> Presentation:
    return Presentation(
        name=name,
        channels=None if option.channels is None else tuple(option.channels),
        frame_rate=option.frame_rate,
        pixel_size=option.pixel_size,
        stimulus_range=option.stimulus_range,
        source=source,
        note=option.note,
    )


def _ensemble(option: EnsembleOption, report: Report | None) -> Retina:
    if isinstance(option, EnsembleBundled):
        directory = PACKAGE / option.name
        presentation = _presentation(option, option.name, f"openretina_cli/{option.name}")
    elif isinstance(option, EnsembleDownload):
        directory = fetch(remote_checkpoint(option), report=report)
        presentation = _presentation(option, option.name, option.url)
    elif isinstance(option, EnsembleDirectory):
        directory = Path(option.path).expanduser()
        presentation = _presentation(option, directory.resolve().name)
    else:
        raise TypeError(f"no loader for {type(option).__name__}")
    return load_ensemble(
        directory, members=option.members, center_readouts=option.center_readouts, presentation=presentation
    )


def _fill(module: nn.Module, path: Path) -> None:
    """Load a module's weights."""
    if not path.is_file():
        raise ModelError(f"model.weights={path} does not exist")
    try:
        module.load_state_dict(read_state_dict(path))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(f"model.weights={path} does not fit the module: {' '.join(lines[1:2])}") from error


def _module(option: TorchModule, frames: int, device: torch.device) -> Retina:
    target = option.module["_target_"]
    with seeded(device):  # weights that the user's code draws are the same in every run
        module = build_target(option.module, nn.Module, "model.module")
    if option.weights is not None:
        _fill(module, Path(option.weights).expanduser())
    facts = ModelFacts(
        name=target.rpartition(".")[2],
        sessions={},
        channels=tuple(option.channels or ()),
        height=option.height,
        width=option.width,
        lag=0,
        frame_rate=option.frame_rate,
        pixel_size=option.pixel_size,
        stimulus_range=option.stimulus_range,
        source=target,
        sha256=digest_of_weights(module),
        note=option.note,
    )
    stated = Stated(
        static=option.static,
        sessions=option.sessions,
        session_argument=option.session_argument,
        axes=option.response_axes,
        stride=option.response_stride,
        output=option.output,
        inputs=option.inputs,
    )
    return wrap_module(module, facts, stated, frames=frames, device=device)


def build_model(option: Option, frames: int, device: torch.device, report: Report | None = None) -> Retina:
    """Load a model onto a device.

    Args:
        option: which model.
        frames: stimulus frames, which a module of the user's is tried on.
        device: where to put it.
        report: told how a download goes on.

    Raises:
        ModelError: the checkpoint is missing, broken or hostile, or the module cannot be used.
        DownloadError: it could not be downloaded.
        SettingError: a setting of it is wrong.
    """
    if isinstance(option, EnsembleOption):
        return _ensemble(option, report).to(device)
    if isinstance(option, TorchModule):
        return _module(option, frames, device)
    raise TypeError(f"no model for {type(option).__name__}")
