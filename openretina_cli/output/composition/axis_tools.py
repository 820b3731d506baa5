"""What panels have in common: the clock of the stimulus, ticks, legends and scale bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

WINDOW_COLOR = "#fbeecb"
FRAME_COLOR = "#606060"
DIVERGING_MAP = "RdBu_r"

MINUS = "\u2212"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Panel:
    """Axes of which a part stays as it is from run to run, while the rest is changed to show another run.

    Attributes:
        live: what changes, or lies in front of what changes.
    """

    def __init__(self) -> None:
        self.live: list[Artist] = []

    def framed(self, ax: Axes) -> None:
        """Count the frame as live, for data may reach below it."""
        self.live += [spine for spine in ax.spines.values() if spine.get_visible()]


@dataclass(frozen=True)
class FrameClock:
    """Where stimulus frames lie on a time axis: frame i is on screen from `i * step` to `(i + 1) * step`.

    Attributes:
        frame_rate: Hz, or None for an axis in frames.
    """

    frame_rate: float | None

    @property
    def rate(self) -> float:
        """Frames per unit of the axis."""
        return self.frame_rate or 1.0

    @property
    def step(self) -> float:
        """How long a frame lasts, in the unit of the axis."""
        return 1.0 / self.rate

    @property
    def time_label(self) -> str:
        """What a time axis shows."""
        return "stimulus time (s)" if self.frame_rate else "stimulus frame"

    @property
    def frequency_unit(self) -> str:
        """The unit of frequencies."""
        return "Hz" if self.frame_rate else "cycles/frame"

    def edges(self, start: int, count: int) -> NDArray[np.float64]:
        """`(count + 1,)`: when each of `count` frames from `start` on begins, and when the last one ends."""
        return np.arange(start, start + count + 1) / self.rate

    def held_line(self, ax: Axes, start: int, count: int, **style: Any) -> Line2D:
        """A line with one value per frame, flat while the frame lasts, as the stimulus on a screen is."""
        (line,) = ax.plot(self.edges(start, count), np.zeros(count + 1), drawstyle="steps-post", **style)
        return line


def hold(line: Line2D, values: NDArray[Any]) -> None:
    """Show other values on a held line."""
    line.set_ydata(np.append(values, values[-1]))


def shade_frames(ax: Axes, clock: FrameClock, spans: Iterable[tuple[int, int]]) -> None:
    """Shade the stimulus frames `[start, stop)` of every span."""
    for start, stop in spans:
        ax.axvspan(start * clock.step, stop * clock.step, color=WINDOW_COLOR, linewidth=0, zorder=0)


@dataclass(frozen=True)
class Ticks:
    """Round numbers on an axis, whose labels have a known width.

    Attributes:
        values: where the ticks are.
        labels: what they are called, at most five characters wide, in units of `10 ** exponent`.
        exponent: 0, or what goes to the axis' label, for an axis of very small or very large numbers.
    """

    values: tuple[float, ...]
    labels: tuple[str, ...]
    exponent: int

    @classmethod
    def between(cls, low: float, high: float, most: int) -> Ticks:
        """At most `most` multiples of 1, 2 or 5 times a power of ten in `[low, high]`, which includes zero."""
        largest = max(-low, high)
        decade = math.floor(math.log10(largest))
        exponent = 0 if -1 <= decade <= 3 else decade
        low, high = low / 10.0**exponent, high / 10.0**exponent
        power, factor = next(
            (power, factor)
            for power in range(decade - exponent - 2, decade - exponent + 2)
            for factor in (1, 2, 5)
            if len(_multiples(low, high, factor * 10.0**power)) <= most
        )
        whole = _multiples(low, high, factor * 10.0**power)
        texts = (f"{factor * index * 10.0**power:.{max(-power, 0)}f}".replace("-", MINUS) for index in whole)
        return cls(tuple(factor * index * 10.0 ** (power + exponent) for index in whole), tuple(texts), exponent)

    def unit(self, unit: str) -> str:
        """A unit, with the power of ten that the labels leave out."""
        if self.exponent == 0:
            return unit
        return f"10{str(self.exponent).translate(SUPERSCRIPTS)} {unit}".rstrip()


def _multiples(low: float, high: float, step: float) -> range:
    """The whole numbers whose multiples of `step` lie between two values; rounding does not cost one at the end."""
    return range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def set_values(ax: Axes, low: float, high: float, name: str, unit: str, most: int | None) -> None:
    """Set limits, ticks and label of a vertical axis that includes zero.

    Args:
        ax: the axes.
        low: lower limit.
        high: upper limit, above the lower one.
        name: what the axis shows.
        unit: its unit, or an empty text.
        most: about how many ticks there is room for; None leaves them to matplotlib, which adapts when a user zooms.
    """
    ax.set_ylim(low, high)
    shown = unit
    if most is not None:
        ticks = Ticks.between(low, high, most)
        ax.set_yticks(ticks.values, ticks.labels)
        shown = ticks.unit(unit)
    ax.set_ylabel(f"{name} ({shown})" if shown else name)


def shorten(name: str, length: int = 22) -> str:
    """A name that fits a legend; its end stays, for that is where the neuron's number is."""
    return name if len(name) <= length else "…" + name[1 - length :]


def title_with_legend(ax: Axes, title: str, width: int) -> Legend:
    """A title at the upper left and a legend above the axes, where it covers no data.

    Args:
        ax: axes whose labelled artists go into the legend.
        title: what the panel shows.
        width: about how many characters of legend fit above the axes; a legend that does not fit beside the title is
            set in rows below it.
    """
    labels = ax.get_legend_handles_labels()[1]
    entry = max(map(len, labels)) + 6  # a legend's line and gap take the room of about six characters
    rows = -(-len(labels) // max(1, width // entry))
    beside = rows == 1 and entry * len(labels) + 1.4 * len(title) <= width
    ax.set_title(title, loc="left", pad=6 if beside else 10.5 * (1 + rows))
    return ax.legend(
        loc="lower right" if beside else "lower left", bbox_to_anchor=(float(beside), 1.0),
        ncols=-(-len(labels) // rows), frameon=False, borderaxespad=0.2, borderpad=0.2,
        handlelength=1.2, columnspacing=1.2, labelspacing=0.3,
    )  # fmt: skip


def name_legend(legend: Legend, names: Sequence[str]) -> None:
    """Give the entries of a legend other names."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def scale_bar_length(width: float) -> float:
    """The largest of 1, 2, 5, 10, ... um that is at most a third of a width in um."""
    longest = width / 3
    decade = 10.0 ** math.floor(math.log10(longest))
    return max(factor * decade for factor in (1, 2, 5) if factor * decade <= longest * (1 + 1e-9))


def draw_scale_bar(ax: Axes, height: int, length: float, pixel_size: float) -> None:
    """A bar of `length` um below the lower left corner of a picture of `height` pixels; one data unit is a pixel."""
    from matplotlib.transforms import offset_copy

    figure = ax.get_figure()  # matplotlib before 3.10 cannot be asked for the root
    end, below = length / pixel_size, offset_copy(ax.transData, figure, y=-8, units="points")  # type: ignore[arg-type]
    ax.plot(
        [0, end], [height, height], color="black", linewidth=2, solid_capstyle="butt", transform=below,
        clip_on=False, gid="scale-bar",
    )  # fmt: skip
    ax.annotate(
        f"{length:g} µm", (end, height), xytext=(4, -8), textcoords="offset points", va="center", annotation_clip=False
    )


class ColorBar(Panel):
    """The colours of the values from minus to plus a limit.

    Args:
        ax: where to draw it.
        unit: what the values are; empty for no label.
        most: about how many ticks there is room for.
    """

    def __init__(self, ax: Axes, name: str, unit: str, most: int = 5) -> None:
        super().__init__()
        self.ax, self._label, self._most = ax, (name, unit), most
        ax.imshow(
            np.linspace(1.0, -1.0, 256)[:, None], cmap=DIVERGING_MAP, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0),
            transform=ax.transAxes, interpolation="nearest",
        )  # fmt: skip
        ax.spines[:].set_visible(False)
        ax.set_xticks([])
        ax.yaxis.tick_right()
        ax.yaxis.set_label_position("right")
        self.live = [ax.yaxis]

    def show(self, limit: float) -> None:
        """Show the colours of values from `-limit` to `limit`."""
        set_values(self.ax, -limit, limit, *self._label, self._most)
