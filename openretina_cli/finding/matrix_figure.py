"""The figure of a response matrix: every neuron and stimulus by type, the means of types, and who is driven by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.response_matrix import confusion, type_means
from openretina_cli.finding.matrix import Responses, contiguous
from openretina_cli.output.composition.axis_tools import DIVERGING_MAP, shorten
from openretina_cli.output.composition.composer import DPI, WIDTH, style
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEQUENTIAL_MAP = "viridis"
MISSING_COLOR = "#d8d8d8"
WORDS = {
    "raw": "response",
    "zscore": "response, z-scored over stimuli",
    "share": "share of the response to the own stimulus",
}
REST = 0.5
MOST_TYPES = 40
"""Types that have room for a name and a number."""


def draw_matrix(responses: Responses, normalisation: str) -> Figure:
    """The matrix above; below, the means over types, and the share of neurons that each type of stimulus drives most.

    Args:
        responses: what to draw.
        normalisation: "raw", "zscore" or "share".
    """
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        matrix = responses.normalised()[normalisation]
        types, kinds, shares = confusion(responses.mean, responses.row_types, responses.exciting_types)
        few = 0 < len(types) <= MOST_TYPES and 0 < len(kinds) <= MOST_TYPES
        height = 4.2 + 0.05 * min(len(matrix), 60)
        lower = 1.6 + 0.24 * len(types) if few else 0.0
        figure = Figure(figsize=(WIDTH, height + lower), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 2, height_ratios=[height, lower]) if few else figure.add_gridspec(1, 1)
        ax = figure.add_subplot(grid[0, :])
        _draw_all(figure, ax, responses, matrix, normalisation)
        if few:
            _draw_types(figure, grid, responses, matrix, normalisation, (types, kinds, shares))
    return figure


def _limits(values: NDArray[np.float64], normalisation: str) -> dict[str, Any]:
    """Colours of values; the largest `REST` percent share one, so that single values do not wash out the others."""
    known = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    if normalisation == "zscore":
        most = max(float(np.percentile(np.abs(known), 100 - REST)), 1e-9)
        return {"cmap": DIVERGING_MAP, "vmin": -most, "vmax": most}
    low, high = min(float(known.min()), 0.0), float(np.percentile(known, 100 - REST))
    return {"cmap": SEQUENTIAL_MAP, "vmin": low, "vmax": high if high > low else low + 1}


def _image(figure: Figure, ax: Axes, values: NDArray[np.float64], label: str, limits: dict[str, Any]) -> None:
    ax.set_facecolor(MISSING_COLOR)
    shown = ax.imshow(np.ma.masked_invalid(values), aspect="auto", interpolation="nearest", **limits)
    low, high = bool((values < limits["vmin"]).any()), bool((values > limits["vmax"]).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[low, high]
    figure.colorbar(shown, ax=ax, label=label, extend=extend, fraction=0.03, pad=0.01, aspect=30)
    ax.spines[:].set_visible(False)


def _draw_all(figure: Figure, ax: Axes, responses: Responses, matrix: NDArray[np.float64], normalisation: str) -> None:
    _image(figure, ax, matrix, WORDS[normalisation], _limits(matrix, normalisation))
    rows, columns = contiguous(responses.row_types), contiguous(responses.column_types)
    few = len(rows) <= MOST_TYPES and len(columns) <= MOST_TYPES
    for spans, line in ((rows, ax.axhline), (columns, ax.axvline)):
        for _, start, _ in spans[1:] if few else ():
            line(start - 0.5, color="white", linewidth=0.8)
    if few:
        ax.set_yticks(*_ticks(rows))
        ax.set_xticks(*_ticks(columns), rotation=35, ha="right", rotation_mode="anchor")
        ax.tick_params(length=0)
    ax.set_ylabel(f"{len(matrix)} neurons" + (", by type" if few else ""))
    by_type = ", by the type that they were made for" if few else ""
    ax.set_title(f"Response of every neuron to {matrix.shape[1]} stimuli{by_type}", loc="left")


def _ticks(spans: Sequence[tuple[str, int, int]]) -> tuple[list[float], list[str]]:
    names = [shorten(one_line(label), 34) or "several types" for label, _, _ in spans]
    return [(start + stop - 1) / 2 for _, start, stop in spans], names


def _draw_types(
    figure: Figure,
    grid: Any,
    responses: Responses,
    matrix: NDArray[np.float64],
    normalisation: str,
    shared: tuple[list[str], list[str], NDArray[np.float64]],
) -> None:
    types, kinds, shares = shared
    _, by_neuron = type_means(matrix, responses.row_types)
    _, means = type_means(by_neuron.T, responses.exciting_types)
    left, right = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    _image(figure, left, means.T, WORDS[normalisation], _limits(means, normalisation))
    left.set_title("Means of types", loc="left")
    _image(figure, right, shares, "share", {"cmap": "Greys", "vmin": 0.0, "vmax": 1.0})
    right.set_title("Share driven most by each type's stimuli", loc="left")
    for place in np.argwhere(shares > 0):
        value = shares[tuple(place)]
        color = "white" if value > 0.5 else "black"
        right.text(
            place[1], place[0], f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=7, color=color
        )
    for ax in (left, right):
        ax.set_yticks(range(len(types)), [shorten(one_line(label), 34) for label in types])
        ax.set_xticks(
            range(len(kinds)),
            [shorten(one_line(k), 34) for k in kinds],
            rotation=35,
            ha="right",
            rotation_mode="anchor",
        )
        ax.tick_params(length=0)
