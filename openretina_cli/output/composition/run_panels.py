"""The panels of a run's figure that the example notebook does not have: slices, responses, explained variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import RankOne
from openretina_cli.output.colors import PALETTE, ChannelLook
from openretina_cli.output.composition.axis_tools import (
    DIVERGING_MAP,
    FRAME_COLOR,
    ColorBar,
    FrameClock,
    Panel,
    hold,
    name_legend,
    set_values,
    shorten,
    title_with_legend,
)
from openretina_cli.output.composition.layout import MANY_TRACES, Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D


class SlicesPanel(Panel):
    """Space-time slices: each channel's stimulus over time along the row of its spatial peak, on one colour scale.

    Args:
        axes: one per channel.
        color_axes: for the colour bar.
        layout: the run's frames, pixels and window.
        looks: name and colour of each channel.
    """

    def __init__(self, axes: Sequence[Axes], color_axes: Axes, layout: Layout, looks: Sequence[ChannelLook]) -> None:
        super().__init__()
        self._axes, self._looks = axes, looks
        self._images = [self._slice(ax, layout, look) for ax, look in zip(axes, looks, strict=True)]
        unit = "µm" if layout.widest.pixel_size else "pixels"
        axes[0].set_title(f"Space-time slice along the row of the spatial peak ({unit})", loc="left")
        self._bar = ColorBar(color_axes, "stimulus", "s.d.")
        self.live += self._bar.live

    def _slice(self, ax: Axes, layout: Layout, look: ChannelLook) -> AxesImage:
        clock, (_, count, _, width) = FrameClock(layout.widest.frame_rate), layout.shape
        bottom = width * (layout.widest.pixel_size or 1.0)
        image = ax.imshow(
            np.zeros((width, count)), cmap=DIVERGING_MAP, interpolation="nearest", aspect="auto",
            extent=(0.0, count * clock.step, bottom, 0.0),
        )  # fmt: skip
        marks = [
            ax.axvline(frame * clock.step, color="black", linewidth=0.8, linestyle=(0, (3, 3)))
            for frame in layout.widest.stimulus_window or ()
        ]
        ax.set_yticks([0.0, bottom])
        ax.yaxis.label.set_color(look.line)
        self.framed(ax)
        self.live += [image, *marks, ax.yaxis.label]
        return image

    def show(self, stimulus: NDArray[np.float32], parts: Sequence[RankOne]) -> None:
        """Show the slices of a stimulus `(channel, time, height, width)`."""
        limit = float(np.abs(stimulus).max()) or 1.0
        rows = [part.peak[0] for part in parts]
        for ax, image, channel, row, look in zip(self._axes, self._images, stimulus, rows, self._looks, strict=True):
            image.set_data(channel[:, row, :].T)
            image.set_clim(-limit, limit)
            ax.set_ylabel(f"{look.name}\nrow {row}")
        self._bar.show(limit)


class ResponsePanel(Panel):
    """Response traces, response frame r at stimulus frame r + lag; the frames that have no response are hatched.

    Args:
        ax: where to draw.
        layout: the run's traces and lag.
        clock: the time axis.
    """

    def __init__(self, ax: Axes, layout: Layout, clock: FrameClock) -> None:
        super().__init__()
        self._ax, self._many = ax, layout.traces > MANY_TRACES
        self._lines = self._many_lines(layout, clock) if self._many else self._few_lines(layout, clock)
        self._legend = title_with_legend(ax, "Response" + _mark_lag(ax, layout, clock), width=84)
        self.framed(ax)
        self.live += [*self._lines, ax.yaxis, self._legend]

    def _many_lines(self, layout: Layout, clock: FrameClock) -> list[Line2D]:
        """A grey bundle, and its mean."""
        looks: list[dict[str, Any]] = [{"color": "0.72", "linewidth": 0.6}] * layout.traces
        looks[0] = {**looks[0], "label": f"{layout.traces} neurons"}
        looks += [{"color": "black", "linewidth": 2.0, "label": "mean"}]
        return [clock.held_line(self._ax, layout.widest.lag, layout.responses, **look) for look in looks]

    def _few_lines(self, layout: Layout, clock: FrameClock) -> list[Line2D]:
        colors = ("#202020",) if layout.traces == 1 else (*PALETTE, "#202020", "#909090")
        return [
            clock.held_line(self._ax, layout.widest.lag, layout.responses, color=color, label=name)
            for color, name in zip(colors, layout.widest.trace_names, strict=False)
        ]

    def show(self, response: NDArray[np.float32], names: Sequence[str]) -> None:
        """Show responses `(time, trace)`, on an axis that includes zero."""
        traces = list(response.T) + ([response.mean(axis=1)] if self._many else [])
        for line, trace in zip(self._lines, traces, strict=True):
            hold(line, trace)
        if not self._many:
            name_legend(self._legend, [shorten(name) for name in names])
        set_values(self._ax, *_limits(response), "response", "", 6)


def _limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Limits that hold all finite values and zero, with a margin on the sides where there are values."""
    low, high = (float(bound(values[np.isfinite(values)], initial=0.0)) for bound in (np.min, np.max))
    if low == high:
        return 0.0, 1.0
    margin = 0.05 * (high - low)
    return low - margin * (low < 0), high + margin * (high > 0)


def _mark_lag(ax: Axes, layout: Layout, clock: FrameClock) -> str:
    """Hatch the stimulus frames that only set up the first response; what the title must add if they are too few."""
    if (lag := layout.widest.lag) == 0:
        return ""
    end, label = lag * clock.step, f"lag: {lag} frame{'s' if lag > 1 else ''}"
    ax.axvspan(0.0, end, facecolor="0.97", edgecolor="0.88", hatch="///", linewidth=0, zorder=0)
    if lag < 0.15 * (lag + layout.responses):  # no room for the words
        return f" (hatched: {label.replace(':', '')})"
    box: dict[str, Any] = {"facecolor": "0.97", "edgecolor": "none", "pad": 2.0}
    across = ax.get_xaxis_transform()
    ax.text(end / 2, 0.5, label, color=FRAME_COLOR, bbox=box, ha="center", va="center", transform=across)
    return ""


class ExplainedPanel(Panel):
    """How much of each channel the one time course and picture hold, in percent."""

    def __init__(self, ax: Axes, looks: Sequence[ChannelLook]) -> None:
        super().__init__()
        count = len(looks)
        self._bars = list(ax.barh(range(count), [0.0] * count, 0.62, color=[look.line for look in looks], alpha=0.85))
        self._labels = [
            ax.annotate(
                "", (0.0, index), xytext=(3, 0), textcoords="offset points", va="center", color=FRAME_COLOR, fontsize=8
            )
            for index in range(count)
        ]
        ax.set_yticks(range(count), [look.name for look in looks])
        ax.set(xlim=(0.0, 108.0), xlabel="% of squared stimulus values", ylim=(count - 0.5, -0.5))
        ax.set_xticks([0, 25, 50, 75, 100])
        ax.set_title("Variance explained by the first component", loc="left")
        self.live += [*self._bars, *self._labels, ax.spines["left"]]

    def show(self, parts: Sequence[RankOne]) -> None:
        """Show the shares of a stimulus."""
        for index, (bar, label, part) in enumerate(zip(self._bars, self._labels, parts, strict=True)):
            share = 100.0 * part.explained_variance
            bar.set_width(share)
            label.xy = (share, index)
            label.set_text(f"{share:.0f} %")


class StillResponsePanel(Panel):
    """The responses to a static image: one dot per neuron."""

    def __init__(self, ax: Axes, layout: Layout) -> None:
        super().__init__()
        self._ax, self._few = ax, layout.traces <= MANY_TRACES
        (self._dots,) = ax.plot(range(layout.traces), [0.0] * layout.traces, "o", color="#202020", markersize=4)
        ax.set_title("Response", loc="left")
        ax.set_xlim(-0.5, layout.traces - 0.5)
        self.framed(ax)
        self.live += [self._dots, ax.yaxis]
        if self._few:
            ax.set_xticks(range(layout.traces))
            self.live.append(ax.xaxis)
        else:
            ax.set_xlabel(f"{layout.traces} neurons, in their order")

    def show(self, response: NDArray[np.float32], names: Sequence[str]) -> None:
        """Show responses `(time, trace)`, on an axis that includes zero."""
        values = response.mean(axis=0)
        self._dots.set_ydata(values)
        set_values(self._ax, *_limits(values), "response", "", 6)
        if self._few:
            self._ax.set_xticks(range(len(names)), [shorten(name, 18) for name in names])
