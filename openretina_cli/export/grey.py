"""Values of a stimulus as the grey levels of a display, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import SettingError
from openretina_cli.export.settings import GreySettings, values_of
from openretina_cli.format.base import Frames
from openretina_cli.store.files import RefusedError, read_text, refusing

Values = NDArray[np.float32]
BRIGHTEST = 255
COLORS = {"green": "G", "uv": "B", "blue": "B", "red": "R", "grey": "RGB", "gray": "RGB"}
"""Colours of channels by name: on the LightCrafter of the Euler lab, G drives the green LED and B the UV LED."""


@dataclass(frozen=True)
class Overflow:
    """Levels of a stimulus beyond what a display shows.

    Attributes:
        shares: of each channel's values, the share below 0 or above 255 before rounding.
        lowest: level of each channel.
        highest: level of each channel.
        factor: by which the stimulus was scaled around grey.
    """

    shares: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class Grey:
    """level = mean + sd * value, rounded to the nearest and clipped to 0..255, then looked up.

    Attributes:
        mean: level of the model's zero, per channel.
        sd: levels per unit of the stimulus, per channel.
        table: what is written for each level `(channel, 256)`, or None.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    table: Frames | None = None

    def levels(self, stimulus: Values) -> NDArray[np.float64]:
        """Levels `(channel, time, height, width)`, neither rounded nor clipped."""
        found: NDArray[np.float64] = _column(self.mean) + _column(self.sd) * stimulus
        return found

    def overflow(self, stimulus: Values) -> Overflow:
        """What of a stimulus is beyond the display."""
        levels = self.levels(stimulus).reshape(len(stimulus), -1)
        beyond = ((levels < 0) | (levels > BRIGHTEST)).mean(1)
        low, high = levels.min(1), levels.max(1)
        return Overflow(tuple(beyond.tolist()), tuple(low.tolist()), tuple(high.tolist()))

    def fitting(self, stimulus: Values) -> float:
        """The largest factor, at most 1, by which a stimulus is multiplied to stay within 0..255 in all channels."""
        low, high = (extreme(stimulus.reshape(len(stimulus), -1), axis=1) for extreme in (np.min, np.max))
        room = [(BRIGHTEST - self.mean, self.sd * high), (self.mean, -self.sd * low)]
        shares = [
            space / reach for spaces, reaches in room for space, reach in zip(spaces, reaches, strict=True) if reach > 0
        ]
        factor = float(min([1.0, *shares]))
        return factor if factor == 1 else factor * (1 - 1e-6)  # float32 rounds the product

    def pictures(self, stimulus: Values) -> Frames:
        """What is written of a stimulus `(channel, time, height, width)`: `(time, height, width, channel)`."""
        levels = np.rint(self.levels(stimulus)).clip(0, BRIGHTEST).astype(np.uint8)
        if self.table is not None:
            levels = np.stack([row[channel] for row, channel in zip(self.table, levels, strict=True)])
        return np.moveaxis(levels, 0, -1)

    def values(self, pictures: NDArray[np.float64]) -> Values:
        """The stimulus `(channel, time, height, width)` that pictures `(time, height, width, channel)` show."""
        shown = np.moveaxis(pictures, -1, 0)
        if self.table is not None:
            shown = np.stack([_undone(row, channel) for row, channel in zip(self.table, shown, strict=True)])
        found: Values = ((shown - _column(self.mean)) / _column(self.sd)).astype(np.float32)
        return found

    @property
    def background(self) -> tuple[int, ...]:
        """What is written for the model's zero, per channel."""
        zero = np.zeros((len(self.mean), 1, 1, 1), np.float32)
        return tuple(self.pictures(zero)[0, 0, 0].tolist())


def _column(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return numbers[:, None, None, None]


def _undone(row: Frames, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level that a written number stands for: of all levels nearest to it in the table, their mean."""
    gaps = np.abs(row.astype(np.float64)[None] - np.arange(BRIGHTEST + 1)[:, None])
    nearest = gaps == gaps.min(1, keepdims=True)
    levels = (nearest * np.arange(BRIGHTEST + 1)).sum(1) / nearest.sum(1)
    found: NDArray[np.float64] = np.interp(shown, np.arange(BRIGHTEST + 1), levels)
    return found


def grey_of(settings: GreySettings, channels: tuple[str, ...], levels: tuple[float, float] | None) -> Grey:
    """The map of an export.

    Args:
        settings: what the user gave.
        channels: names of the channels.
        levels: mean and standard deviation of the checkpoint, where they are real numbers.

    Raises:
        SettingError: nothing says what the levels are, or there are not as many as channels.
        ArtifactError: the look-up table cannot be read.
    """
    mean, sd = values_of(settings.mean), values_of(settings.sd)
    if not mean and levels is None:
        places = ",".join(["LEVEL"] * len(channels))
        raise SettingError(
            "the checkpoint does not state the mean and sd of its movies' grey levels",
            expected="export.grey.mean and export.grey.sd, one or per channel",
            repair=f"export.grey.mean=[{places}] export.grey.sd=[{places}]",
        )
    if not mean and levels is not None:
        mean, sd = levels[:1], levels[1:]
    for name, given in (("mean", mean), ("sd", sd)):
        if len(given) not in (1, len(channels)):
            raise SettingError(
                f"export.grey.{name} has {len(given)} numbers",
                expected=f"one, or one for each of {', '.join(channels)}",
            )
    count = len(channels)
    wide = [np.array(given * count if len(given) == 1 else given, np.float64) for given in (mean, sd)]
    return Grey(wide[0], wide[1], None if settings.lut is None else _table(Path(settings.lut).expanduser(), count))


def _table(path: Path, channels: int) -> Frames:
    """A look-up table `(channel, 256)`.

    Raises:
        ArtifactError: the file cannot be read, or holds something else.
    """
    expected = f"256 lines with {channels} whole number{'s' * (channels > 1)} from 0 to 255, parted by commas or blanks"
    with refusing(path, expected, "is no look-up table"):
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        try:
            rows = np.array([[int(word) for word in line.replace(",", " ").split()] for line in lines])
        except ValueError as error:
            raise RefusedError("a line is not made of whole numbers") from error
        if rows.shape != (BRIGHTEST + 1, channels) or rows.min() < 0 or rows.max() > BRIGHTEST:
            raise RefusedError(f"it has {len(lines)} lines, or numbers beyond 0 to 255")
        table: Frames = rows.T.astype(np.uint8)
        return table


def colors_of(settings: GreySettings, channels: tuple[str, ...], needed: bool) -> tuple[str, ...]:
    """The colours that each channel drives; empty where they are not needed and not known.

    Raises:
        SettingError: a channel has none, two channels drive one, or there are not as many as channels.
    """
    colors = tuple(settings.colors or [COLORS.get(name.lower(), "") for name in channels])
    if settings.colors is None and len(channels) == 1 and not colors[0]:
        colors = ("RGB",)
    problem = ""
    if len(colors) != len(channels):
        problem = f"export.grey.colors has {len(colors)} entries, and the runs have {len(channels)} channels"
    elif not all(colors):
        problem = f"nothing says which colour the channel {channels[colors.index('')]} drives"
    elif len(set("".join(colors))) < len("".join(colors)):
        problem = f"export.grey.colors={','.join(colors)} gives one colour to two channels"
    if problem and (needed or settings.colors is not None):
        raise SettingError(
            problem, expected=f"R, G or B for each of {', '.join(channels)}", repair="export.grey.colors=[G,B]"
        )
    return () if problem else colors
