"""The option `model=core_readout`: Lightning checkpoints of openretina's core + readout family."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from openretina_cli.checks import neuron_list, positive, range_pairs
from openretina_cli.models.core_readout.load import load_core_readout
from openretina_cli.models.core_readout.model import CoreReadoutModel
from openretina_cli.models.directory import Presentation


def _listed(path: str | list[str]) -> str | list[str]:
    """A list of files that was typed in brackets; the command line takes a path as it was typed, brackets too."""
    if isinstance(path, list) or not (path.startswith("[") and path.endswith("]")) or Path(path).exists():
        return path
    return [name.strip() for name in path[1:-1].split(",")]


def core_readout(
    path: Annotated[str | list[str], "FILE.ckpt"],
    members: list[int] | None = None,
    center_readouts: bool = False,
    channels: list[str] | None = None,
    frame_rate: float | None = None,
    pixel_size: float | None = None,
    stimulus_range: Any = None,
    note: str = "",
) -> CoreReadoutModel:
    """A model in a checkpoint, or an ensemble of several.

    Args:
        path: a checkpoint, a folder of `seed_*.ckpt`, or a list of checkpoints.
        members: positions of the members to use; None means all.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        channels: colour channel names; None names them by number.
        frame_rate: Hz; None takes the checkpoint's.
        pixel_size: um per pixel edge; None takes the checkpoint's.
        stimulus_range: lowest and highest value per channel, z-scored; None takes black and white of the checkpoint's
            grey-level statistics.
        note: see `ModelFacts`.

    Raises:
        ModelError: the checkpoint is missing, broken, hostile or unsupported.
        SettingError: a value is out of range.
    """
    positive("frame_rate", frame_rate)
    positive("pixel_size", pixel_size)
    if members is not None:
        neuron_list("members", members)
    presentation = Presentation(
        name="",
        channels=None if channels is None else tuple(channels),
        frame_rate=frame_rate,
        pixel_size=pixel_size,
        stimulus_range=range_pairs("stimulus_range", stimulus_range),
        note=note,
    )
    return load_core_readout(_listed(path), members, center_readouts, presentation)
