"""The contact sheet of a set of stimuli: every member on one page, on common scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import decompose, stimulus_array
from openretina_cli.errors import ArtifactError
from openretina_cli.output.colors import channel_looks
from openretina_cli.output.composition.axis_tools import DIVERGING_MAP, FRAME_COLOR, FrameClock, hold, shade_frames
from openretina_cli.output.composition.composer import WIDTH, encode_figure, style
from openretina_cli.output.composition.layout import title_lines
from openretina_cli.store.names import MEMBERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openretina_cli.output.view import RunView

COLUMNS = 5
CAPTION = "percent: share of the reference's response  |  distance: mean over the other members, all scaled to norm 1"
GAP = 1
"""Blank pixels between the maps of two channels."""


def encode_sheet(view: RunView, ending: str, dpi: int) -> bytes:
    """The contact sheet as the bytes of a file, "png", "pdf" or "svg".

    Raises:
        ArtifactError: the members are missing, or hold values that are not finite.
    """
    with style():
        return encode_figure(draw_sheet(view, dpi), ending, dpi)


def draw_sheet(view: RunView, dpi: int) -> Figure:
    """Of each member of a film the map and the time course of every channel, of an image the channels side by side.

    Maps are the first spatial components, from -1 to 1; time courses and images are in standard deviations of the
    training set. All members share their scales.

    Raises:
        ArtifactError: the members are missing, or hold values that are not finite.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not view.members:
        raise ArtifactError(f"{MEMBERS} is missing", expected="the stack that openretina optimize wrote")
    parts = [[decompose(channel) for channel in stimulus_array(member)] for member in view.members]
    still, columns = view.stimulus.shape[1] == 1, min(COLUMNS, len(parts))
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(WIDTH, 1.0 + rows * (1.9 if still else 2.6)), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(title_lines(view)), x=0.012, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(CAPTION, x=0.012, ha="left", fontsize=8, color=FRAME_COLOR)
    heights = [1.0] * rows if still else [1.3, 1.0] * rows
    axes = figure.subplots(len(heights), columns, height_ratios=heights, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    maps = [_beside([part.spatial for part in found]) for found in parts]
    if still:
        maps = [_beside(list(member[:, 0])) for member in view.members]
    limit = float(max(np.nanmax(np.abs(some)) for some in maps)) or 1.0
    for place, (picture, label) in enumerate(zip(maps, view.labels, strict=True)):
        row, column = divmod(place, columns)
        _show_map(axes[row if still else 2 * row, column], picture, limit, label)
    if not still:
        _show_courses(axes[1::2], [[part.temporal for part in found] for found in parts], view)
    return figure


def _beside(pictures: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Pictures of one size in a row, with blanks between them."""
    blank = np.full((pictures[0].shape[0], GAP), np.nan)
    return np.hstack([piece for picture in pictures for piece in (picture, blank)][:-1])


def _show_map(ax: Axes, picture: NDArray[np.float64], limit: float, label: str) -> None:
    ax.imshow(picture, cmap=DIVERGING_MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_title(label, fontsize=8, loc="left")


def _show_courses(axes: Any, courses: Sequence[Sequence[NDArray[Any]]], view: RunView) -> None:
    """Time courses in the axes `(row, column)`, on one scale; the window that was optimised is shaded."""
    looks, clock, columns = channel_looks(view.channels), FrameClock(view.frame_rate), axes.shape[1]
    limit = 1.05 * float(max(np.abs(course).max() for some in courses for course in some)) or 1.0
    for place, some in enumerate(courses):
        row, column = divmod(place, columns)
        ax = axes[row, column]
        ax.set_axis_on()
        for look, course in zip(looks, some, strict=True):
            hold(clock.held_line(ax, 0, len(course), color=look.line, label=look.name, linewidth=1.0), course)
        shade_frames(ax, clock, [view.stimulus_window] if view.stimulus_window else [])
        ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0.5)
        ax.set(xlim=(0.0, len(some[0]) * clock.step), ylim=(-limit, limit))
        ax.tick_params(labelleft=column == 0, labelbottom=place + columns >= len(courses), labelsize=7)
        if place + columns >= len(courses):
            ax.set_xlabel(clock.time_label, fontsize=8, color=FRAME_COLOR)
    axes[0, 0].set_ylabel("s.d.", fontsize=8)
    axes[0, 0].legend(loc="lower left", fontsize=6, frameon=False)
