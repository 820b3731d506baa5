"""The panels that show what a stimulus is made of; the example notebook draws them into its own axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import (
    LOWPASS_CUTOFF,
    RankOne,
    amplitude_spectrum,
    decompose,
    stimulus_array,
)
from openretina_cli.output.colors import ChannelLook, channel_looks, default_channel_names
from openretina_cli.output.composition.axis_tools import (
    DIVERGING_MAP,
    FRAME_COLOR,
    ColorBar,
    FrameClock,
    Panel,
    draw_scale_bar,
    hold,
    name_legend,
    scale_bar_length,
    set_values,
    shade_frames,
    title_with_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


class TemporalPanel(Panel):
    """Temporal component of every channel, on an axis that is symmetric about zero.

    Args:
        ax: where to draw.
        looks: name and colour of each channel.
        clock: the time axis.
        count: stimulus frames.
        most_ticks: see `axis_tools.set_values`.
    """

    def __init__(
        self, ax: Axes, looks: Sequence[ChannelLook], clock: FrameClock, count: int, most_ticks: int | None = None
    ) -> None:
        super().__init__()
        self._ax, self._most = ax, most_ticks
        self._lines = [clock.held_line(ax, 0, count, **look.drawn, label=look.name) for look in looks]
        ax.axhline(0.0, color="0.8", linewidth=0.8, zorder=0.5)
        ax.set(xlim=(0.0, count * clock.step), xlabel=clock.time_label)
        title_with_legend(ax, "Temporal component", width=84)
        self.framed(ax)
        self.live += [*self._lines, ax.yaxis]

    def show(self, parts: Sequence[RankOne]) -> None:
        """Show the time courses of a stimulus."""
        for line, part in zip(self._lines, parts, strict=True):
            hold(line, part.temporal)
        limit = 1.08 * max(float(np.abs(part.temporal).max()) for part in parts) or 1.0
        set_values(self._ax, -limit, limit, "stimulus", "s.d.", self._most)


class SpectraPanel(Panel):
    """Amplitude spectrum of every temporal component; the legend gives its weighted frequency.

    Args:
        ax: where to draw.
        looks: name and colour of each channel.
        clock: its frame rate is the one of the frequencies; without one the whole spectrum is drawn, in cycles per
            frame.
        count: stimulus frames; a single one has no spectrum.
        cutoff: highest frequency drawn, in Hz.
        most_ticks: see `axis_tools.set_values`.
    """

    def __init__(
        self,
        ax: Axes,
        looks: Sequence[ChannelLook],
        clock: FrameClock,
        count: int,
        cutoff: float = LOWPASS_CUTOFF,
        most_ticks: int | None = None,
    ) -> None:
        super().__init__()
        self._ax, self._looks, self._rate, self._most = ax, looks, clock.rate, most_ticks
        self._highest = min(cutoff, clock.rate / 2) if clock.frame_rate else 0.5
        self._still = count == 1
        if self._still:
            ax.text(0.5, 0.5, "a single frame has no spectrum", transform=ax.transAxes, ha="center", color=FRAME_COLOR)
            ax.set_axis_off()
            return
        self._lines = [
            ax.plot([], [], marker=".", **look.drawn, label=f"{look.name} 00.00", clip_on=False)[0] for look in looks
        ]
        ax.set(xlim=(0.0, self._highest), xlabel=f"frequency ({clock.frequency_unit})")
        title = f"Amplitude spectrum; weighted frequency in {clock.frequency_unit}"
        self._legend = title_with_legend(ax, title, width=50)
        self.framed(ax)
        self.live += [*self._lines, ax.yaxis, self._legend]

    def show(self, parts: Sequence[RankOne]) -> None:
        """Show the spectra of a stimulus."""
        if self._still:
            return
        spectra = [amplitude_spectrum(part.temporal, self._rate, self._highest) for part in parts]
        for line, spectrum in zip(self._lines, spectra, strict=True):
            line.set_data(spectrum.frequency, spectrum.amplitude)
        named = zip(self._looks, spectra, strict=True)
        name_legend(self._legend, [f"{look.name} {spectrum.weighted_frequency:.2f}" for look, spectrum in named])
        highest = 1.05 * max(float(spectrum.amplitude.max()) for spectrum in spectra) or 1.0
        set_values(self._ax, 0.0, highest, "amplitude", "s.d.", self._most)


class SpatialPanel(Panel):
    """Pictures `(height, width)` side by side on one colour scale, with a scale bar and a colour bar.

    Args:
        ax: where to draw; its data unit is one stimulus pixel.
        size: height and width of each picture.
        looks: name and colour of each.
        pixel_size: um per pixel edge; None leaves the scale bar out.
        scale: name and unit of what the colour bar shows; None leaves it out.
        columns: room for so many pictures, if more than there are.
        marked: whether a row of each picture is pointed at from its right edge.
        fixed: whether the limit of the colours is always the same.
    """

    def __init__(
        self,
        ax: Axes,
        size: tuple[int, int],
        looks: Sequence[ChannelLook],
        pixel_size: float | None,
        *,
        scale: tuple[str, str] | None = ("spatial component", ""),
        columns: int = 0,
        marked: bool = False,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        height, width = size
        pitch = max(1.14 * width, 0.45 * height)  # narrow pictures stand apart, so that their names do not touch
        self._images = [self._picture(ax, index * pitch, size, look) for index, look in enumerate(looks)]
        self._marks = [
            ax.plot([index * pitch + width + 0.04 * pitch], [0.5], "<", color=look.line, markersize=4, clip_on=False)[0]
            for index, look in enumerate(looks if marked else ())
        ]
        self.live += self._marks
        extent = pitch * max(columns, len(looks)) - (pitch - width)
        ax.set(xlim=(0, extent), ylim=(height, 0))
        ax.set_axis_off()
        if pixel_size is not None:
            draw_scale_bar(ax, height, scale_bar_length(width * pixel_size), pixel_size)
        self._bar: ColorBar | None = None
        if scale is not None:
            share = max(1.0, 0.25 * extent / height)  # beside a flat picture it hangs down, so as to stay readable
            left = 1.12 if marked and extent == width else 1.06  # beside a single picture the mark needs its room
            self._bar = ColorBar(ax.inset_axes((left, 1.0 - share, 0.025, share)), *scale)
            self.live += [] if fixed else self._bar.live

    def _picture(self, ax: Axes, left: float, size: tuple[int, int], look: ChannelLook) -> AxesImage:
        height, width = size
        image = ax.imshow(
            np.zeros(size), cmap=DIVERGING_MAP, interpolation="nearest", extent=(left, left + width, height, 0)
        )
        (frame,) = ax.plot(
            left + width * np.array([0, 1, 1, 0, 0]), height * np.array([0, 0, 1, 1, 0]),
            color=FRAME_COLOR, linewidth=0.8, clip_on=False,
        )  # fmt: skip
        ax.annotate(
            look.name, (left + width / 2, 0), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", color=look.line,
        )  # fmt: skip
        self.live += [image, frame]
        return image

    def show(
        self, pictures: Sequence[NDArray[np.floating[Any]]], limit: float = 1.0, marked_rows: Sequence[int] = ()
    ) -> None:
        """Show pictures whose values lie between minus and plus a limit."""
        for image, picture in zip(self._images, pictures, strict=True):
            image.set_data(picture)
            image.set_clim(-limit, limit)
        for mark, row in zip(self._marks, marked_rows, strict=True):
            mark.set_ydata([row + 0.5])
        if self._bar is not None:
            self._bar.show(limit)


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
    clock, count = FrameClock(frame_rate), array.shape[1]
    TemporalPanel(temporal_trace_ax, looks, clock, count).show(parts)
    shade_frames(temporal_trace_ax, clock, [(first, last + 1) for first, last in highlight_x_list or ()])
    if freq_ax is not None:
        SpectraPanel(freq_ax, looks, clock, count, lowpass_cutoff).show(parts)
    # the colour bar has no label here: it would reach into the notebook's next panel
    SpatialPanel(spatial_ax, array.shape[2:], looks, pixel_size, scale=("", "")).show([part.spatial for part in parts])
    spatial_ax.set_title("Spatial component", loc="left", pad=18)
