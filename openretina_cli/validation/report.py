"""Writes validations: a table with a row per stimulus, and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.report.findings import finding
from openretina_cli.run.natural import CLIPS
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FINDING
from openretina_cli.text import csv_text
from openretina_cli.validation.figure import write_figure
from openretina_cli.validation.held_out import Rescored
from openretina_cli.validation.verdict import Validation, by_type

TABLE = "validation.csv"
FIGURE = "validation.png"
PLACE = f"validate{FINDING}"
HELD_OUT = "held_out.csv"


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def validation_csv(rows: Sequence[Validation]) -> str:
    """A line per stimulus; a value that means nothing is empty."""
    names = [field.name for field in fields(Validation)]
    return csv_text([names, *([_cell(getattr(row, name)) for name in names] for row in rows)])


def held_out_csv(rows: Sequence[Rescored]) -> str:
    """A line per neuron; for each member in turn the objectives on the others and on it, and `Rescored.fine`."""
    members, sides = range(len(rows[0].own)), ("own", "held_out", "fine")
    header = ["session", "neuron", "ratio", *(f"{side}_{m}" for side in sides for m in members)]
    lines = [[row.session, row.neuron, row.ratio, *row.own, *row.held_out, *row.fine] for row in rows]
    return csv_text([header, *([_cell(value) for value in line] for line in lines)])


def write_validation(rows: Sequence[Validation], folder: RunFolder) -> list[Path]:
    """Write table and figure, both or neither."""
    with folder.stage() as aside:
        (aside / TABLE).write_text(validation_csv(rows), encoding="utf-8")
        write_figure(by_type(rows), aside / FIGURE)
        (aside / PLACE).write_bytes(json_bytes(page_finding(rows)))
        _publish(folder, aside)
    return [folder.path / TABLE, folder.path / FIGURE]


def page_finding(rows: Sequence[Validation]) -> dict[str, Any]:
    """What the page of `openretina report` shows of a validation in its folder: a row per type."""
    above, known = sum(row.above_natural for row in rows), [row.gain for row in rows if not math.isnan(row.gain)]
    gained = f", with a mean gain of {sum(known) / len(known):.2f}" if known else ""
    words = f"{above} of {len(rows)} stimuli beat the best of {CLIPS} natural clips{gained}."
    means = ("gain", "natural_gain", "percentile", "cosine")
    table = [["type", "objective", "stimuli", *means]]
    for summary in by_type(rows):
        numbers = [summary.mean(attrgetter(name)) for name in means]
        cells = ["-" if math.isnan(value) else f"{value:.3g}" for value in numbers]
        table.append([summary.label, summary.objective, str(len(summary.rows)), *cells])
    return finding("Validation by the simulated retina", words, FIGURE, [TABLE], table)


def write_held_out(rows: Sequence[Rescored], folder: RunFolder) -> list[Path]:
    """Write the table, whole or not at all."""
    with folder.stage() as aside:
        (aside / HELD_OUT).write_text(held_out_csv(rows), encoding="utf-8")
        _publish(folder, aside)
    return [folder.path / HELD_OUT]


def _publish(folder: RunFolder, aside: Path) -> None:
    with folder.explained(ArtifactError):
        folder.publish(aside, before=None)
