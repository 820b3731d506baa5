"""The panels that show what a stimulus is made of; the example notebook draws them into its own axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.colors import ChannelLook, channel_looks, default_channel_names
from openretina_cli.artifacts.decomposition import (
    LOWPASS_CUTOFF,
    RankOne,
    amplitude_spectrum,
    decompose,
    stimulus_array,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_COLOR = "#fbeecb"
FRAME_COLOR = "#606060"
DIVERGING_MAP = "RdBu_r"


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


def draw_held(ax: Axes, clock: FrameClock, start: int, values: NDArray[Any], **style: Any) -> None:
    """Draw one value per frame as a line that is flat while the frame lasts, as the stimulus on a screen is."""
    ax.plot(clock.edges(start, len(values)), np.append(values, values[-1]), drawstyle="steps-post", **style)


def shade_frames(ax: Axes, clock: FrameClock, spans: Iterable[tuple[int, int]]) -> None:
    """Shade the stimulus frames `[start, stop)` of every span."""
    for start, stop in spans:
        ax.axvspan(start * clock.step, stop * clock.step, color=WINDOW_COLOR, linewidth=0, zorder=0)


def shorten(name: str, length: int = 22) -> str:
    """A name that fits a legend; its end stays, for that is where the neuron's number is."""
    return name if len(name) <= length else "\u2026" + name[1 - length :]


def title_with_legend(ax: Axes, title: str, width: int) -> None:
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
    ax.set_title(title, loc="left", pad=6 if beside else 8 + 13 * rows)
    ax.legend(
        loc="lower right" if beside else "lower left", bbox_to_anchor=(float(beside), 1.0),
        ncols=-(-len(labels) // rows), frameon=False, borderaxespad=0.2, borderpad=0.2,
        handlelength=1.2, columnspacing=1.2, labelspacing=0.3,
    )  # fmt: skip


def draw_temporal(ax: Axes, parts: Sequence[RankOne], looks: Sequence[ChannelLook], clock: FrameClock) -> None:
    """Temporal component of every channel, on an axis that is symmetric about zero."""
    for part, look in zip(parts, looks, strict=True):
        draw_held(ax, clock, 0, part.temporal, color=look.line, label=look.name)
    limit = 1.08 * max(float(np.abs(part.temporal).max()) for part in parts) or 1.0
    ax.axhline(0.0, color="0.8", linewidth=0.8, zorder=0.5)
    ax.set(xlim=(0.0, len(parts[0].temporal) * clock.step), ylim=(-limit, limit))
    ax.set(xlabel=clock.time_label, ylabel="stimulus (s.d.)")
    title_with_legend(ax, "Temporal component", width=84)


def draw_spectra(
    ax: Axes, parts: Sequence[RankOne], looks: Sequence[ChannelLook], clock: FrameClock, cutoff: float = LOWPASS_CUTOFF
) -> None:
    """Amplitude spectrum of every temporal component; the legend gives its weighted frequency.

    The cutoff is in Hz; without a frame rate the whole spectrum is drawn, in cycles per frame.
    """
    if len(parts[0].temporal) == 1:
        ax.text(0.5, 0.5, "a single frame has no spectrum", transform=ax.transAxes, ha="center", color=FRAME_COLOR)
        ax.set_axis_off()
        return
    highest = min(cutoff, clock.rate / 2) if clock.frame_rate else 0.5
    spectra = [amplitude_spectrum(part.temporal, clock.rate, highest) for part in parts]
    for spectrum, look in zip(spectra, looks, strict=True):
        label = f"{look.name} {spectrum.weighted_frequency:.2f}"
        ax.plot(spectrum.frequency, spectrum.amplitude, ".-", color=look.line, label=label, clip_on=False)
    ax.set(xlim=(0.0, highest), ylim=(0.0, 1.05 * max(s.amplitude.max() for s in spectra) or 1.0))
    ax.set(xlabel=f"frequency ({clock.frequency_unit})", ylabel="amplitude (s.d.)")
    title_with_legend(ax, f"Amplitude spectrum; weighted frequency in {clock.frequency_unit}", width=50)


def draw_spatial(
    ax: Axes,
    pictures: Sequence[NDArray[np.floating[Any]]],
    looks: Sequence[ChannelLook],
    pixel_size: float | None,
    *,
    limit: float = 1.0,
    unit: str | None = "spatial component",
    columns: int | None = None,
    marked_rows: Sequence[int] = (),
) -> None:
    """Pictures `(height, width)` side by side on one colour scale, with a scale bar and a colour bar.

    Args:
        ax: where to draw; its data unit is one stimulus pixel.
        pictures: one per channel, of equal size.
        looks: name and colour of each.
        pixel_size: um per pixel edge; None leaves the scale bar out.
        limit: value of the darkest red, and minus that of the darkest blue.
        unit: what the colour bar shows; None leaves it out.
        columns: room for so many pictures, if more than there are.
        marked_rows: a row in each picture to point at from its right edge.
    """
    from matplotlib.ticker import MaxNLocator

    height, width = pictures[0].shape
    pitch = max(1.14 * width, 0.45 * height)  # narrow pictures stand apart, so that their names do not touch
    for index, (picture, look) in enumerate(zip(pictures, looks, strict=True)):
        left = index * pitch
        image = ax.imshow(
            picture, cmap=DIVERGING_MAP, vmin=-limit, vmax=limit, interpolation="nearest",
            extent=(left, left + width, height, 0),
        )  # fmt: skip
        ax.plot(
            left + width * np.array([0, 1, 1, 0, 0]), height * np.array([0, 0, 1, 1, 0]),
            color=FRAME_COLOR, linewidth=0.8, clip_on=False,
        )  # fmt: skip
        ax.annotate(
            look.name, (left + width / 2, 0), xytext=(0, 3), textcoords="offset points", ha="center", color=look.line
        )
    for index, (row, look) in enumerate(zip(marked_rows, looks, strict=True) if marked_rows else ()):
        ax.plot(index * pitch + width + 0.04 * pitch, row + 0.5, "<", color=look.line, markersize=4, clip_on=False)
    extent = pitch * max(columns or 0, len(pictures)) - (pitch - width)
    ax.set(xlim=(0, extent), ylim=(height, 0))
    ax.set_axis_off()
    if pixel_size is not None:
        draw_scale_bar(ax, height, scale_bar_length(width * pixel_size), pixel_size)
    if unit is not None:
        share = max(1.0, 0.25 * extent / height)  # beside a flat picture it hangs down, so as to stay readable
        color_axes = ax.inset_axes((1.06, 1.0 - share, 0.025, share))
        ax.figure.colorbar(image, cax=color_axes, label=unit, ticks=MaxNLocator(4))
        color_axes.spines[:].set_visible(False)


def scale_bar_length(width: float) -> float:
    """The largest of 1, 2, 5, 10, ... um that is at most a third of a width in um."""
    longest = width / 3
    decade = 10.0 ** math.floor(math.log10(longest))
    return max(factor * decade for factor in (1, 2, 5) if factor * decade <= longest * (1 + 1e-9))


def draw_scale_bar(ax: Axes, height: int, length: float, pixel_size: float) -> None:
    """A bar of `length` um below the lower left corner of a picture of `height` pixels; one data unit is a pixel."""
    from matplotlib.transforms import offset_copy

    end, below = length / pixel_size, offset_copy(ax.transData, ax.get_figure(root=True), y=-8, units="points")
    ax.plot(
        [0, end], [height, height], color="black", linewidth=2, solid_capstyle="butt", transform=below,
        clip_on=False, gid="scale-bar",
    )  # fmt: skip
    ax.annotate(
        f"{length:g} µm", (end, height), xytext=(4, -8), textcoords="offset points", va="center", annotation_clip=False
    )


def plot_stimulus_composition(
    stimulus: Any,
    temporal_trace_ax: Axes,
    freq_ax: Axes | None,
    spatial_ax: Axes,
    lowpass_cutoff: float = LOWPASS_CUTOFF,
    highlight_x_list: Sequence[tuple[int, int]] | None = None,
    *,
    frame_rate: float | None = None,
    pixel_size: float | None = None,
    channel_names: Sequence[str] | None = None,
) -> None:
    """Draw the temporal components, their spectra and the spatial components of a stimulus, as in the example notebook.

    Args:
        stimulus: `(channel, time, height, width)`, a torch tensor or numpy array.
        temporal_trace_ax: for the temporal components.
        freq_ax: for the spectra; None leaves them out.
        spatial_ax: for the spatial components.
        lowpass_cutoff: highest frequency drawn, in Hz.
        highlight_x_list: stimulus frames to shade, first and last of each stretch included.
        frame_rate: Hz; None draws axes in frames and in cycles per frame.
        pixel_size: um per pixel edge; None draws no scale bar.
        channel_names: None takes grey, green and UV, or red, green and blue by their number.

    Raises:
        UserError: the stimulus does not have the four axes.
        ArtifactError: it holds values that are not finite.
    """
    array = stimulus_array(stimulus)
    looks = channel_looks(channel_names or default_channel_names(len(array)))
    parts = [decompose(channel) for channel in array]
    clock = FrameClock(frame_rate)
    draw_temporal(temporal_trace_ax, parts, looks, clock)
    shade_frames(temporal_trace_ax, clock, [(first, last + 1) for first, last in highlight_x_list or ()])
    if freq_ax is not None:
        draw_spectra(freq_ax, parts, looks, clock, lowpass_cutoff)
    # the colour bar has no label here: it would reach into the notebook's next panel
    draw_spatial(spatial_ax, [part.spatial for part in parts], looks, pixel_size, unit="")
    spatial_ax.set_title("Spatial component", loc="left", pad=18)
