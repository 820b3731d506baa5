"""The figure of a validation: a row per type, a dot per cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openretina_cli.errors import ArtifactError
from openretina_cli.output.composition.composer import DPI, WIDTH, import_matplotlib, style
from openretina_cli.validation.verdict import TypeSummary, Validation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOUND, NATURAL = "#202020", "#e69f00"
"""Colours of optimised stimuli and of natural clips; readers without colour vision can tell them apart."""

JITTER = 0.16
"""By how much of a row the dots of a type are spread, so that equal values do not hide each other."""


def write_figure(summaries: Sequence[TypeSummary], path: Path) -> None:
    """Write the figure as a PNG; the same summaries give the same bytes.

    Raises:
        ArtifactError: the figure could not be written.
    """
    figure = draw_validation(summaries)
    try:
        with style():
            figure.savefig(path, format="png", dpi=DPI)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the figure {path} could not be written: {error}") from error


def draw_validation(summaries: Sequence[TypeSummary]) -> Figure:
    """Gains of stimuli and of the best natural clips on the left, cosines on the right; not tied to pyplot."""
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    several = len({summary.objective for summary in summaries}) > 1
    with style():
        figure = Figure(figsize=(WIDTH * 0.8, 1.5 + 0.36 * len(summaries)), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        gains, cosines = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1.0])
        for position, summary in enumerate(summaries):
            _draw_gains(gains, position, summary.rows)
            _dots(cosines, position, [row.cosine for row in summary.rows], FOUND, "o")
        names = [f"{summary.label} ({summary.objective})" if several else summary.label for summary in summaries]
        _finish(figure, gains, cosines, names)
    return figure


def _draw_gains(ax: Axes, position: int, rows: Sequence[Validation]) -> None:
    _dots(ax, position, [row.natural_gain for row in rows], NATURAL, "D")
    _dots(ax, position, [row.gain for row in rows], FOUND, "o")
    if all(np.isnan(row.gain) for row in rows):
        ax.text(0.02, position, "no stimulus adds to the response to grey", va="center", fontsize=8, color="0.4")


def _dots(ax: Axes, position: int, values: Sequence[float], color: str, marker: str) -> None:
    spread = position + JITTER * np.linspace(-1, 1, len(values)) if len(values) > 1 else [position]
    ax.plot(values, spread, marker, color=color, markersize=4, alpha=0.7, markeredgewidth=0)


def _finish(figure: Figure, gains: Axes, cosines: Axes, names: Sequence[str]) -> None:
    gains.set_yticks(range(len(names)), names)
    gains.set_ylim(len(names) - 0.4, -0.6)
    gains.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    gains.axvline(1.0, color="0.6", linewidth=0.8, zorder=0)
    gains.set_xlabel("gain: 0 is the response to grey, 1 the best response known")
    gains.set_title("Response of the simulated retina", loc="left")
    gains.plot([], [], "o", color=FOUND, markersize=4, label="optimised on the twin")
    gains.plot([], [], "D", color=NATURAL, markersize=4, label="best of 500 natural clips, windowed")
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    cosines.set_xlabel("cosine")
    cosines.set_xlim(min(0.0, cosines.get_xlim()[0]), 1.02)
    cosines.set_title("Likeness to the truth's own optimum", loc="left")
