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
from openretina_cli.output.composition.layout import MANY_TRACES, MOST_CLUSTERS, NAME_WIDTH, Layout
from openretina_cli.output.view import RunView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D


FRONT = "#202020"
STYLES = ("-", "--", ":")
"""Lines of clusters whose colours come round again."""


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
        self._ax, self._compared = ax, layout.clusters > 1
        self._many = layout.clusters == 1 or layout.traces > MANY_TRACES
        make = self._cluster_lines if self._compared else self._many_lines if self._many else self._few_lines
        self._lines = make(layout, clock)
        title = "Mean response of each cluster" if self._compared else "Response"
        self._legend = title_with_legend(ax, title + _mark_lag(ax, layout, clock), width=84)
        self.framed(ax)
        self.live += [*self._lines, ax.yaxis, self._legend]

    def _many_lines(self, layout: Layout, clock: FrameClock) -> list[Line2D]:
        """A grey bundle, and its mean."""
        looks: list[dict[str, Any]] = [{"color": "0.72", "linewidth": 0.6}] * layout.traces
        looks[0] = {**looks[0], "label": f"{layout.traces} neurons"}
        mean = "mean" if not layout.clusters else "mean of " + layout.widest.clusters[0].name
        looks += [{"color": "black", "linewidth": 2.0, "label": mean}]
        return [clock.held_line(self._ax, layout.widest.lag, layout.responses, **look) for look in looks]

    def _cluster_lines(self, layout: Layout, clock: FrameClock) -> list[Line2D]:
        """The means of clusters, the one that is to respond in front of the others."""
        looks: list[dict[str, Any]] = [{"color": FRONT, "linewidth": 2.4, "zorder": 3}]
        for place in range(1, layout.clusters):
            turn, color = divmod(place - 1, len(PALETTE))
            shown = place < MOST_CLUSTERS
            looks.append({"color": PALETTE[color] if shown else "0.75", "linestyle": STYLES[turn % len(STYLES)]})
        names = [cluster.name for cluster in layout.widest.clusters]
        return [
            clock.held_line(
                self._ax, layout.widest.lag, layout.responses, **look, label=name if place < MOST_CLUSTERS else "_"
            )
            for place, (look, name) in enumerate(zip(looks, names, strict=True))
        ]

    def _few_lines(self, layout: Layout, clock: FrameClock) -> list[Line2D]:
        colors = (FRONT,) if layout.traces == 1 else (*PALETTE, "#202020", "#909090")
        return [
            clock.held_line(self._ax, layout.widest.lag, layout.responses, color=color, label=name)
            for color, name in zip(colors, layout.widest.trace_names, strict=False)
        ]

    def show(self, view: RunView) -> None:
        """Show the responses of a run, on an axis that includes zero."""
        response, clusters = view.response, view.clusters
        means = [response[:, list(cluster.traces)].mean(axis=1) for cluster in clusters]
        traces = means if self._compared else [*response.T, *([response.mean(axis=1)] if self._many else [])]
        for line, trace in zip(self._lines, traces, strict=True):
            hold(line, trace)
        names = [cluster.name for cluster in clusters[:MOST_CLUSTERS]] if self._compared else view.trace_names
        if self._compared or not self._many:
            name_legend(self._legend, [shorten(name, NAME_WIDTH if self._compared else 22) for name in names])
        elif clusters:
            name_legend(self._legend, [f"{response.shape[1]} neurons", f"mean of {shorten(clusters[0].name, 30)}"])
        set_values(self._ax, *_limits(np.stack(traces)), "response", "", 6)


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


class HistoryPanel(Panel):
    """How the objective of a static image rose, step by step; a film has no room for it, and its time courses."""

    def __init__(self, ax: Axes) -> None:
        super().__init__()
        self._ax = ax
        (self._line,) = ax.plot([], [], color=FRONT)
        ax.set_xlabel("iteration")
        self.framed(ax)
        self.live += [self._line, ax.yaxis, ax.xaxis, ax.title, ax._left_title]  # type: ignore[attr-defined]

    def show(self, view: RunView) -> None:
        """Show the history of a run, and its response where it has one."""
        steps, objective = view.history.T
        self._line.set_data(steps, objective)
        self._ax.set_xlim(0, max(float(steps[-1]), 1))
        set_values(self._ax, *_limits(objective.astype(np.float32)), "objective", "", 6)
        answer = f"; response of {shorten(view.trace_names[0])}: {view.response.mean():.4g}"
        self._ax.set_title("Objective" + (answer if len(view.trace_names) == 1 else ""), loc="left")


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
