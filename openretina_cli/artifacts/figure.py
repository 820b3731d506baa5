"""One page that shows a run: the stimulus taken apart, and the response to it, on one time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.colors import PALETTE, ChannelLook, channel_looks
from openretina_cli.artifacts.composition_axes import (
    DIVERGING_MAP,
    FRAME_COLOR,
    FrameClock,
    draw_held,
    draw_spatial,
    draw_spectra,
    draw_temporal,
    shade_frames,
    shorten,
    title_with_legend,
)
from openretina_cli.artifacts.decomposition import RankOne, decompose, stimulus_array
from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import ArtifactError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MANY_TRACES = 10  # more are drawn grey, with their mean
PICTURES_PER_ROW = 3
WIDTH = 12.5  # inches; 2000 pixels at DPI
DPI = 160

STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": "#303030",
    "axes.edgecolor": FRAME_COLOR,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 6.0,
    "xtick.color": FRAME_COLOR,
    "ytick.color": FRAME_COLOR,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,  # text in a PDF stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "openretina",  # the same figure gives the same ids
}


def write_composition(view: RunView, path_stem: Path, formats: Sequence[str] = ("png",)) -> tuple[Path, ...]:
    """Write the figure of a run once per format, as `path_stem` plus the format's ending.

    The same view gives the same bytes: no date is written, and the user's matplotlib settings have no say.

    Args:
        view: the run.
        path_stem: path without ending; its folder must exist.
        formats: any of "png" (2000 pixels wide), "pdf", "svg".

    Returns:
        The files written, in the order of `formats`.

    Raises:
        ArtifactError: the figure could not be drawn or written; the path is named.
    """
    import matplotlib.style

    figure = draw_composition(view)
    paths = tuple(path_stem.with_name(f"{path_stem.name}.{ending}") for ending in formats)
    for path, ending in zip(paths, formats, strict=True):
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
        try:
            with matplotlib.style.context(["default", STYLE]):
                figure.savefig(path, format=ending, dpi=DPI, metadata=undated)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"the figure {path} could not be written: {error}") from error
    return paths


def draw_composition(view: RunView) -> Figure:
    """The figure of a run, not tied to any window or to pyplot.

    A film has its time courses, space-time slices and responses on the left, on one time axis, and its spatial
    components, spectra and explained variances on the right. A single frame has only pictures and responses.

    Raises:
        UserError: the stimulus does not have four axes.
        ArtifactError: the stimulus holds values that are not finite.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    stimulus = stimulus_array(view.stimulus)
    looks = channel_looks(view.channels)
    with matplotlib.style.context(["default", STYLE]):
        air = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches around every panel
        figure = Figure(figsize=_size(view), dpi=DPI, layout=air)
        FigureCanvasAgg(figure)
        title = "\n".join(textwrap.wrap(view.title, 110)) or " "
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(describe(view), x=0.012, ha="left", fontsize=8, color=FRAME_COLOR)
        if stimulus.shape[1] == 1:
            _draw_still(figure, view, stimulus, looks)
        else:
            parts = [decompose(channel) for channel in stimulus]
            halves = figure.add_gridspec(1, 2, width_ratios=[1.5, 1.0])
            _draw_times(figure.add_subfigure(halves[0, 0]), view, stimulus, parts, looks)
            _draw_components(figure.add_subfigure(halves[0, 1]), view, parts, looks)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once; a second time would move panels by rounding
    return figure


def describe(view: RunView) -> str:
    """The facts that a reader needs to judge the axes, in one line."""
    count, height, width = view.stimulus.shape[1:]
    frames = "static image" if count == 1 else f"{count} frames"
    if view.frame_rate and count > 1:
        frames += f" at {view.frame_rate:.4g} Hz ({count / view.frame_rate:.3g} s)"
    facts = [frames, f"{height} by {width} pixels" + (f" of {view.pixel_size:.4g} µm" if view.pixel_size else "")]
    if count > 1 and view.response.size:
        facts.append(f"first response at stimulus frame {view.lag}")
    if count > 1 and view.stimulus_window is not None:
        start, stop = view.stimulus_window
        facts.append(f"shaded: the optimised window, stimulus frames {start} to {stop - 1}")
    return "  |  ".join(facts)


def _size(view: RunView) -> tuple[float, float]:
    """Width and height in inches: every panel keeps its size, whatever the number of channels."""
    columns, rows = _picture_grid(view)
    responses = 1.9 if view.response.size else 0.0
    if view.stimulus.shape[1] == 1:
        return (7.6, 10.0, WIDTH)[columns - 1], 1.0 + 3.2 * rows + responses
    return WIDTH, max(3.1 + 0.9 * len(view.stimulus) + responses, 5.2 + 1.5 * rows)


def _picture_grid(view: RunView) -> tuple[int, int]:
    """Columns and rows in which the channels' pictures are laid out; wide pictures go below each other."""
    channels, _, height, width = view.stimulus.shape
    columns = 1 if width > 2.5 * height else min(channels, PICTURES_PER_ROW)
    return columns, -(-channels // columns)


def _draw_times(
    figure: SubFigure, view: RunView, stimulus: NDArray[np.float32], parts: list[RankOne], looks: Sequence[ChannelLook]
) -> None:
    """Time courses, slices and responses below each other; the narrow second column holds the slices' colour bar."""
    clock, count = FrameClock(view.frame_rate), stimulus.shape[1]
    responses = int(bool(view.response.size))
    rows = 1 + len(parts) + responses
    ratios = [2.1] + [0.85] * len(parts) + [1.7] * responses
    grid = figure.add_gridspec(rows, 2, width_ratios=[1.0, 0.015], height_ratios=ratios)
    top = figure.add_subplot(grid[0, 0])
    axes = [top] + [figure.add_subplot(grid[row, 0], sharex=top) for row in range(1, rows)]
    draw_temporal(top, parts, looks, clock)
    color_axes = figure.add_subplot(grid[1 : 1 + len(parts), 1])
    _draw_slices(axes[1 : 1 + len(parts)], color_axes, view, stimulus, parts, looks)
    if responses:
        draw_response(axes[-1], view, clock)
    windows = [] if view.stimulus_window is None else [view.stimulus_window]
    for ax in [top, *axes[1 + len(parts) :]]:
        shade_frames(ax, clock, windows)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    end = max(count, view.lag + len(view.response) if responses else 0)
    axes[-1].set(xlabel=clock.time_label, xlim=(0.0, end * clock.step))


def _draw_slices(
    axes: Sequence[Axes],
    color_axes: Axes,
    view: RunView,
    stimulus: NDArray[np.float32],
    parts: Sequence[RankOne],
    looks: Sequence[ChannelLook],
) -> None:
    """Space-time slices: each channel's stimulus over time along the row of its spatial peak, on one colour scale."""
    clock, edge = FrameClock(view.frame_rate), view.pixel_size or 1.0
    count, width = stimulus.shape[1], stimulus.shape[3]
    limit = float(np.abs(stimulus).max()) or 1.0
    for ax, channel, part, look in zip(axes, stimulus, parts, looks, strict=True):
        image = ax.imshow(
            channel[:, part.peak[0], :].T, cmap=DIVERGING_MAP, vmin=-limit, vmax=limit, interpolation="nearest",
            aspect="auto", extent=(0.0, count * clock.step, width * edge, 0.0),
        )  # fmt: skip
        for frame in view.stimulus_window or ():
            ax.axvline(frame * clock.step, color="black", linewidth=0.8, linestyle=(0, (3, 3)))
        ax.set_yticks([0.0, width * edge])
        ax.set_ylabel(f"{look.name}\nrow {part.peak[0]}", color=look.line)
    unit = "µm" if view.pixel_size else "pixels"
    axes[0].set_title(f"Space-time slice along the row of the spatial peak ({unit})", loc="left")
    axes[0].figure.colorbar(image, cax=color_axes, label="stimulus (s.d.)")
    color_axes.spines[:].set_visible(False)


def draw_response(ax: Axes, view: RunView, clock: FrameClock) -> None:
    """Response traces, response frame r at stimulus frame r + lag; the frames that have no response are hatched."""
    traces = view.response.T
    if len(traces) > MANY_TRACES:
        for index, trace in enumerate(traces):
            label = f"{len(traces)} neurons" if index == 0 else None
            draw_held(ax, clock, view.lag, trace, color="0.72", linewidth=0.6, label=label)
        draw_held(ax, clock, view.lag, traces.mean(axis=0), color="black", linewidth=2.0, label="mean")
    else:
        colors = ("#202020",) if len(traces) == 1 else (*PALETTE, "#202020", "#909090")
        for trace, color, name in zip(traces, colors, view.trace_names, strict=False):
            draw_held(ax, clock, view.lag, trace, color=color, label=shorten(name))
    ax.set_ylabel("response")
    title_with_legend(ax, "Response" + _mark_lag(ax, view, clock), width=84)


def _mark_lag(ax: Axes, view: RunView, clock: FrameClock) -> str:
    """Hatch the stimulus frames that only set up the first response; what the title must add if they are too few."""
    if view.lag == 0:
        return ""
    end, label = view.lag * clock.step, f"lag: {view.lag} frame{'s' if view.lag > 1 else ''}"
    ax.axvspan(0.0, end, facecolor="0.97", edgecolor="0.88", hatch="///", linewidth=0, zorder=0)
    if view.lag < 0.15 * (view.lag + len(view.response)):  # no room for the words
        return f" (hatched: {label.replace(':', '')})"
    box: dict[str, Any] = {"facecolor": "0.97", "edgecolor": "none", "pad": 2.0}
    across = ax.get_xaxis_transform()
    ax.text(end / 2, 0.5, label, color=FRAME_COLOR, bbox=box, ha="center", va="center", transform=across)
    return ""


def _draw_components(figure: SubFigure, view: RunView, parts: Sequence[RankOne], looks: Sequence[ChannelLook]) -> None:
    """Spatial components, spectra and explained variances."""
    columns, rows = _picture_grid(view)
    pictures = [2.4 if columns == 2 or rows == 1 == columns else 1.7] * rows
    grid = figure.add_gridspec(rows + 2, 1, height_ratios=[*pictures, 1.9, 0.5 + 0.16 * len(parts)])
    axes = [figure.add_subplot(grid[row, 0]) for row in range(rows)]
    peaks = [part.peak[0] for part in parts]
    _draw_pictures(axes, view, [part.spatial for part in parts], looks, marked_rows=peaks)
    axes[0].set_title("Spatial component", loc="left", pad=18)
    draw_spectra(figure.add_subplot(grid[rows, 0]), parts, looks, FrameClock(view.frame_rate))
    draw_explained(figure.add_subplot(grid[rows + 1, 0]), parts, looks)


def _draw_pictures(
    axes: Sequence[Axes],
    view: RunView,
    pictures: Sequence[NDArray[Any]],
    looks: Sequence[ChannelLook],
    *,
    limit: float = 1.0,
    unit: str = "spatial component",
    marked_rows: Sequence[int] = (),
) -> None:
    """Pictures of all channels in rows, of equal size and on one colour scale; the first row carries both scales."""
    columns, _ = _picture_grid(view)
    for row, ax in enumerate(axes):
        chunk = slice(row * columns, (row + 1) * columns)
        draw_spatial(
            ax, pictures[chunk], looks[chunk], view.pixel_size if row == 0 else None, limit=limit,
            unit=unit if row == 0 else None, columns=columns, marked_rows=marked_rows[chunk],
        )  # fmt: skip
        ax.set_anchor("NW")


def draw_explained(ax: Axes, parts: Sequence[RankOne], looks: Sequence[ChannelLook]) -> None:
    """How much of each channel the one time course and picture hold, in percent."""
    shares = [100.0 * part.explained_variance for part in parts]
    bars = ax.barh(range(len(parts)), shares, height=0.62, color=[look.line for look in looks], alpha=0.85)
    ax.bar_label(bars, fmt="%.0f %%", padding=3, color=FRAME_COLOR, fontsize=8)
    ax.set_yticks(range(len(parts)), [look.name for look in looks])
    ax.set(xlim=(0.0, 108.0), xlabel="% of squared stimulus values", ylim=(len(parts) - 0.5, -0.5))
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.set_title("Variance explained by the first component", loc="left")


def _draw_still(figure: Figure, view: RunView, stimulus: NDArray[np.float32], looks: Sequence[ChannelLook]) -> None:
    """A static image as it is, in its own units, and the responses to it as one dot per neuron."""
    (_, rows), responses = _picture_grid(view), int(bool(view.response.size))
    grid = figure.add_gridspec(rows + responses, 1, height_ratios=[3.0] * rows + [1.4] * responses)
    limit = float(np.abs(stimulus).max()) or 1.0
    axes = [figure.add_subplot(grid[row, 0]) for row in range(rows)]
    _draw_pictures(axes, view, list(stimulus[:, 0]), looks, limit=limit, unit="stimulus (s.d.)")
    axes[0].set_title("Stimulus", loc="left", pad=18)
    if responses:
        _draw_still_response(figure.add_subplot(grid[rows, 0]), view)


def _draw_still_response(ax: Axes, view: RunView) -> None:
    """One dot per neuron."""
    values = view.response.mean(axis=0)
    ax.plot(range(len(values)), values, "o", color="#202020", markersize=4)
    ax.set_title("Response", loc="left")
    ax.set(ylabel="response", xlim=(-0.5, len(values) - 0.5))
    if len(values) > MANY_TRACES:
        ax.set_xlabel(f"{len(values)} neurons, in their order")
    else:
        ax.set_xticks(range(len(values)), [shorten(name, 18) for name in view.trace_names])
