"""The option `model=core_readout`: Lightning checkpoints of openretina's core + readout family."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from openretina_cli.checks import neuron_list
from openretina_cli.models.core_readout.load import load_core_readout
from openretina_cli.models.core_readout.model import CoreReadoutModel
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.facts import Presentation
from openretina_cli.web_address import is_web_address


def _listed(path: str | list[str]) -> str | list[str]:
    """A list of files that was typed in brackets; the command line takes a path as it was typed, brackets too."""
    if isinstance(path, list) or not (path.startswith("[") and path.endswith("]")) or Path(path).exists():
        return path
    return [name.strip() for name in path[1:-1].split(",")]


def _here(path: str, name: str, report: Report | None) -> str:
    """A checkpoint on this machine; one on a web server is downloaded first."""
    if not is_web_address(path):
        return path
    remote = RemoteCheckpoint.single(path, name)
    return str(fetch(remote, report=report) / remote.files[0])


def core_readout(
    path: Annotated[str | list[str], "FILE.ckpt"],
    name: str = "",
    members: list[int] | None = None,
    center_readouts: bool = False,
    channels: list[str] | None = None,
    frame_rate: float | None = None,
    pixel_size: float | None = None,
    stimulus_range: Any = None,
    min_quality: float | None = None,
    note: str = "",
    report: Report | None = None,
) -> CoreReadoutModel:
    """A model in a checkpoint, or an ensemble of several.

    Args:
        path: a checkpoint, a folder of `seed_*.ckpt`, or a list of checkpoints; a web address is downloaded once.
        name: what the model is called, and its folder in the cache; "" takes the name of the file.
        members: positions of the members to use; None means all.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        channels: colour channel names; None names them by number.
        frame_rate: Hz; None takes the checkpoint's.
        pixel_size: um per pixel edge; None takes the checkpoint's.
        stimulus_range: lowest and highest value per channel, z-scored; None takes black and white of the checkpoint's
            grey-level statistics.
        min_quality: see `ModelFacts`, as the note.
        note: a sentence shown with every result.
        report: called with the progress of a download.

    Raises:
        ModelError: the checkpoint is missing, broken, hostile or unsupported.
        DownloadError: a file could not be downloaded.
        SettingError: a value is out of range.
    """
    if members is not None:
        neuron_list("members", members)
    typed = _listed(path)
    source = ", ".join(typed) if isinstance(typed, list) else typed
    stated = Presentation(name, channels, frame_rate, pixel_size, stimulus_range, source, min_quality, note)
    here = [_here(file, name, report) for file in typed] if isinstance(typed, list) else _here(typed, name, report)
    return load_core_readout(here, members, center_readouts, stated)
