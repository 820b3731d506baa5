"""The figure of one neuron: a panel for every probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from openretina_cli.output.composition.composer import DPI, WIDTH, style
from openretina_cli.probe.base import Answer, Probe, Scene
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 12
HEIGHT = 2.8
"""Inches of a row."""


def _rows(probes: Mapping[str, Probe]) -> list[list[str]]:
    """Panels that stand side by side, in order."""
    rows: list[list[str]] = [[]]
    for name, probe in probes.items():
        if sum(probes[other].width for other in rows[-1]) + probe.width > COLUMNS:
            rows.append([])
        rows[-1].append(name)
    return [row for row in rows if row]


def draw_probes(
    probes: Mapping[str, Probe], scene: Scene, answers: Mapping[str, Answer], row: int, title: str
) -> Figure:
    """Draw what was found of one neuron.

    Args:
        probes: by name.
        scene: the field.
        answers: by name of the probe.
        row: of the neuron in the answers.
        title: what stands above.
    """
    rows = _rows(probes)
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, 0.4 + HEIGHT * len(rows)), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(one_line(title, 160), x=0.01, ha="left", fontsize=10)
        for names, strip in zip(rows, figure.subfigures(len(rows), 1, squeeze=False).flat, strict=True):
            widths = [probes[name].width for name in names]
            rest = COLUMNS - sum(widths)
            ratios = [*widths, rest] if rest > 0 else widths
            places = strip.subfigures(1, len(ratios), squeeze=False, width_ratios=ratios).flat
            for name, place in zip(names, places, strict=False):
                probes[name].draw(place, scene, answers[name], row)
    return figure
