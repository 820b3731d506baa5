"""The figure of a cell's tuning: colour grid with iso-response lines and gradients, contrast, size, and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from openretina_cli.analysis.tuning import iso_lines, percent_of_maximum
from openretina_cli.finding.tuning import COLOUR, CONTRAST, DOWN, REOPTIMISED, RIGHT, SIZE, TIME, Curve
from openretina_cli.output.colors import PALETTE
from openretina_cli.output.composition.axis_tools import shorten
from openretina_cli.output.composition.composer import DPI, WIDTH, style
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

LEVELS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
"""Iso-response lines, in percent of the maximum."""
LINE = "#202020"
LABEL = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
PANELS = ((CONTRAST, REOPTIMISED), (SIZE,), (TIME,), (RIGHT, DOWN))
LABELS = {CONTRAST: "the same shape", REOPTIMISED: "optimised at each norm"}
TITLES = {CONTRAST: "Contrast", SIZE: "Size", TIME: "Shift in time"}


def draw_tuning(curves: Sequence[Curve], title: str) -> Figure:
    """The grids on the left or below, the curves beside them.

    Args:
        curves: as `Tuner.all` returns them.
        title: the run.
    """
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        grids = [curve for curve in curves if curve.kind == COLOUR]
        rows = -(-len(grids) // 3)
        one = len(grids) == 1
        figure = Figure(figsize=(WIDTH, 5.2 if one else 2.6 + 3.9 * rows), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(one_line(title, 160), x=0.01, ha="left", fontsize=10)
        if one:
            below, above = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.5, 2]).flat
            panels, places = above.subplots(2, 2), [below.subplots()]
        else:
            above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.6, 3.9 * rows]).flat
            panels, places = above.subplots(1, 4), [*below.subplots(rows, 3, squeeze=False).flat]
        for ax, kinds in zip(panels.flat, PANELS, strict=True):
            _draw_curves(ax, [curve for curve in curves if curve.kind in kinds])
        for ax, grid in zip(places, grids, strict=False):
            _draw_colour(below, ax, grid)
        for ax in places[len(grids) :]:
            ax.set_axis_off()
    return figure


def _draw_curves(ax: Axes, curves: Sequence[Curve]) -> None:
    for color, curve in zip((LINE, PALETTE[0]), curves, strict=False):
        ax.plot(curve.x, curve.response, "o-", markersize=3, color=color, label=LABELS.get(curve.kind, curve.kind))
        beyond = curve.outside > 0
        ax.plot(curve.x[beyond], curve.response[beyond], "o", markersize=3, color="white", markeredgecolor=color)
    low = min(0.0, *(float(curve.response.min()) for curve in curves))
    ax.set_ylim(low * 1.05, max(float(curve.response.max()) for curve in curves) * 1.08 or 1)
    ax.set_ylabel("response")
    ax.set_xlabel(curves[0].x_name if curves[0].kind != RIGHT else curves[0].x_name.replace("right", "right or down"))
    ax.set_title(TITLES.get(curves[0].kind, "Shift in space"), loc="left")
    if len(curves) > 1:
        ax.legend(frameon=False)


def _draw_colour(figure: SubFigure, ax: Axes, curve: Curve) -> None:
    percent = percent_of_maximum(curve.response)
    if not len(curve.y):
        ax.plot(curve.x, percent, "o-", markersize=3, color=LINE)
        ax.set_ylabel("% of maximum")
        ax.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    else:
        _draw_grid(figure, ax, curve)
    ax.set_xlabel(shorten(one_line(curve.x_name), 40))
    ax.set_title("Contrast and its reverse" if not len(curve.y) else "Colours at equal norm", loc="left")


def _draw_grid(figure: SubFigure, ax: Axes, curve: Curve) -> None:
    axis = np.unique(curve.x)
    count = len(axis)
    percent = percent_of_maximum(curve.response).reshape(count, count)
    half = 1 / (count - 1)
    extent = (-1 - half, 1 + half, -1 - half, 1 + half)
    low = min(0.0, float(np.nanmin(percent))) if np.isfinite(percent).any() else 0.0
    shown = ax.imshow(percent.T, origin="lower", extent=extent, cmap="Greys", vmin=low, vmax=140 - 0.4 * low)
    bar = figure.colorbar(shown, ax=ax, label="% of maximum", fraction=0.046, pad=0.02)
    bar.ax.set_ylim(low, 100)
    for level in LEVELS if np.isfinite(percent).all() else ():
        for line in iso_lines(axis, percent, level):
            ax.plot(*line.T, color=PALETTE[0], linewidth=1.2)
            if level % 20 == 0 and len(line) > 2:
                x, y = line[len(line) // 2]
                ax.text(x, y, str(level), fontsize=7, ha="center", va="center", color="#8a5a00", bbox=LABEL, zorder=4)
    ax.quiver(curve.x, curve.y, *curve.slope.T, color="#1f3a6e", pivot="mid", angles="xy", width=0.005, zorder=3)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    ax.set_ylabel(shorten(one_line(curve.y_name), 40))
