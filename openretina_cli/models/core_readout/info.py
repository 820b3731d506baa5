"""The facts about a recording in a checkpoint's `data_info`, which has no fixed keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.config import members_of, numbers_of, plain_value
from openretina_cli.models.foreign_file import shown

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
BRIGHTEST = 255.0
"""Grey level of white in the 8-bit movies that all published data sets were recorded with."""


@dataclass(frozen=True)
class Info:
    """What a checkpoint says about its recording.

    Attributes:
        shape: `(channel, height, width)` of the stimulus, or None.
        frame_rate: of the stimulus, in Hz, or None.
        pixel_size: edge of a pixel on the retina in um, or None.
        grey_levels: mean and standard deviation of the training movies' grey levels, one for all channels, or None.
        species: the animal, or "".
        groups: cell-type group of every neuron by session, where given.
        quality: test correlation of every neuron by session, where given; None for a neuron without one.
        metric: what the quality is measured by, or "".
        remarks: sentences about what could not be read, by the setting that would state it.
    """

    shape: tuple[int, int, int] | None = None
    frame_rate: float | None = None
    pixel_size: float | None = None
    grey_levels: tuple[float, float] | None = None
    species: str = ""
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    quality: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    metric: str = ""
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def stimulus_range(self) -> tuple[float, float] | None:
        """Black and white in units of the training movies' standard deviation, or None where it is unknown."""
        if self.grey_levels is None:
            return None
        mean, deviation = self.grey_levels
        return (0 - mean) / deviation, (BRIGHTEST - mean) / deviation


class _Reader:
    """Looks up entries that may be missing, of another type, or unreadable."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.entries = entries
        self.remarks: dict[str, str] = {}

    def plain(self, name: str) -> Any:
        try:
            return plain_value(self.entries.get(name), f"data_info.{name}")
        except ModelError:
            return None

    def quantity(self, name: str, setting: str) -> float | None:
        """A positive number, which may be given as a text with a unit, such as "85Hz"."""
        value = self.plain(name)
        if isinstance(value, str):
            found = NUMBER.findall(value)
            if len(found) != 1:
                self.remarks[setting] = f'{name} is "{shown(value, 80)}", no single number; state model.{setting}'
                return None
            value = float(found[0])
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if math.isfinite(value) and value > 0 else None

    def shape(self) -> tuple[int, int, int] | None:
        value = self.plain("input_shape")
        if isinstance(value, list) and len(value) == 3 and all(type(n) is int and n > 0 for n in value):
            return value[0], value[1], value[2]
        return None

    def grey_levels(self) -> tuple[float, float] | None:
        """Statistics that are real: neither missing nor NaN, nor the 0 and 1 of a loader that set none."""
        mean, deviation = self.plain("stim_mean"), self.plain("stim_std")
        for value in (mean, deviation):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                return None
        if deviation <= 0 or (mean, deviation) == (0, 1) or not 0 <= mean <= BRIGHTEST:
            return None
        return float(mean), float(deviation)


def _groups(entries: Mapping[str, Any], neurons: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Cell-type groups of the sessions that state one for each neuron."""
    sessions = members_of(entries.get("sessions_kwargs")) or {}
    found = {}
    for name, count in neurons.items():
        numbers = numbers_of((members_of(sessions.get(name)) or {}).get("group_assignment"))
        if numbers and len(numbers) == count and all(number.is_integer() for number in numbers):
            found[name] = tuple(int(number) for number in numbers)
    return found


def _quality(entries: Mapping[str, Any], neurons: Mapping[str, int]) -> dict[str, tuple[float | None, ...]]:
    """Test performance of the sessions that state one for each neuron."""
    sessions = members_of(entries.get("pretrained_performance")) or {}
    found = {}
    for name, count in neurons.items():
        numbers = numbers_of(sessions.get(name))
        if numbers and len(numbers) == count:
            found[name] = tuple(number if math.isfinite(number) else None for number in numbers)
    return found


def read_info(data_info: object, neurons: Mapping[str, int]) -> Info:
    """Read what can be read of a `data_info`; what cannot is unknown.

    Args:
        data_info: as the file holds it.
        neurons: number of neurons by session.
    """
    entries = members_of(data_info) or {}
    reader = _Reader(entries)
    rate = reader.quantity("stimulus_rate_hz", "frame_rate")
    rate = reader.quantity("response_rate_hz", "frame_rate") if rate is None else rate
    size = reader.quantity("retina_pixel_size_um", "pixel_size")
    levels = reader.grey_levels()
    if levels is None:
        reader.remarks["stimulus_range"] = (
            "The checkpoint holds no grey-level statistics, so the stimulus range is unknown; "
            "state model.stimulus_range"
        )
    species, metric = (reader.plain(name) for name in ("animal_species", "pretrained_performance_metric"))
    return Info(
        shape=reader.shape(),
        frame_rate=rate,
        pixel_size=size,
        grey_levels=levels,
        species=shown(species, 80) if isinstance(species, str) else "",
        groups=_groups(entries, neurons),
        quality=_quality(entries, neurons),
        metric=shown(metric, 80) if isinstance(metric, str) else "",
        remarks=reader.remarks,
    )
