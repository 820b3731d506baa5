"""The files of `openretina tune`, for one run: the table of all points, and the figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from openretina_cli.analysis.tuning import percent_of_maximum
from openretina_cli.errors import ArtifactError
from openretina_cli.finding.files import number, png_bytes, publish, save_bytes
from openretina_cli.finding.tuning import Curve
from openretina_cli.finding.tuning_figure import draw_tuning
from openretina_cli.report.findings import finding
from openretina_cli.store.files import read_mapping
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FINDING
from openretina_cli.text import csv_text

TABLE, FIGURE, PLACE = "tuning.csv", "tuning.png", f"tune{FINDING}"
HEADER = (
    *("curve", "x_name", "x", "y_name", "y", "response", "percent_of_maximum"),
    *("slope_x", "slope_y", "outside_range"),
)


def _rows(curve: Curve) -> Iterator[list[object]]:
    nothing, count = float("nan"), len(curve.x)
    slope = np.full((count, 2), nothing)
    slope[:, : curve.slope.shape[1]] = curve.slope if curve.slope.size else nothing
    ys = curve.y if curve.y.size else np.full(count, nothing)
    percent = percent_of_maximum(curve.response)
    for x, y, response, share, along, outside in zip(
        curve.x, ys, curve.response, percent, slope, curve.outside, strict=True
    ):
        numbers = map(number, (response, share, *along, outside))
        yield [curve.kind, curve.x_name, number(x), curve.y_name, number(y), *numbers]


def is_tuned(folder: Path, of: Mapping[str, object] | None) -> bool:
    """Whether the files of a run are there, and depend on the same."""
    if of is None or not all((folder / name).is_file() for name in (FIGURE, TABLE)):
        return False
    try:
        return bool(read_mapping(folder / PLACE).get("of") == of)
    except ArtifactError:
        return False


def write_tuning(
    curves: Sequence[Curve], title: str, folder: Path, of: Mapping[str, object] | None = None
) -> list[Path]:
    """Write figure and table of a run, both or neither.

    Args:
        curves: as `Tuner.all` returns them.
        title: the run.
        folder: where to.
        of: what the files depend on, see `is_tuned`.

    Raises:
        ArtifactError: a file could not be written.
    """
    contents = {
        FIGURE: png_bytes(draw_tuning(curves, title)),
        PLACE: json_bytes(finding("Tuning", _words(curves), FIGURE, [TABLE], of=of)),
        TABLE: csv_text([HEADER, *(row for curve in curves for row in _rows(curve))]).encode("utf-8"),
    }
    return publish(folder, {name: partial(save_bytes, content) for name, content in contents.items()})


def _words(curves: Sequence[Curve]) -> str:
    """Where each curve is largest."""
    tops = {curve.kind: float(curve.x[np.argmax(curve.response)]) for curve in curves if not len(curve.y)}
    named = {curve.kind: curve.x_name for curve in curves}
    return "Largest response at " + "; ".join(f"{named[kind]} {top:.3g}" for kind, top in tops.items()) + "."
