"""What a validation comes to: a table with a row per stimulus, and its summary by type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from openretina_cli.errors import ArtifactError
from openretina_cli.store.folder import RunFolder
from openretina_cli.text import csv_text
from openretina_cli.validation.bench import Validation
from openretina_cli.validation.figure import write_figure
from openretina_cli.validation.held_out import Rescored

TABLE = "validation.csv"
FIGURE = "validation.png"
HELD_OUT = "held_out.csv"

RESPONSES = ("mei", "mdi", "group_mei")
"""Kinds of objectives whose value is a response."""


@dataclass(frozen=True)
class TypeSummary:
    """The stimuli of one kind for the cells of one type.

    Attributes:
        label: the type.
        objective: kind of the objective.
        rows: the stimuli.
    """

    label: str
    objective: str
    rows: tuple[Validation, ...]

    def mean(self, value: Callable[[Validation], float]) -> float:
        """Mean over the stimuli for which a value means something; NaN where it never does."""
        found = [v for v in map(value, self.rows) if not math.isnan(v)]
        return sum(found) / len(found) if found else math.nan

    @property
    def worst_gain(self) -> float:
        """The smallest gain."""
        return min((row.gain for row in self.rows if not math.isnan(row.gain)), default=math.nan)

    @property
    def above_natural(self) -> int:
        """How many stimuli beat their best natural clip."""
        return sum(row.above_natural for row in self.rows)

    @property
    def times_grey(self) -> float:
        """Mean of the true response over that to grey; NaN for objectives that are no response."""
        if self.objective not in RESPONSES:
            return math.nan
        return self.mean(lambda row: row.true / row.grey if row.grey else math.nan)


def by_type(rows: Sequence[Validation]) -> list[TypeSummary]:
    """The stimuli by objective and type, types in the order of their groups."""
    keys = sorted({(row.objective, row.group if row.group is not None else math.inf, row.type) for row in rows})
    return [
        TypeSummary(label, objective, tuple(r for r in rows if (r.objective, r.type) == (objective, label)))
        for objective, _, label in keys
    ]


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def validation_csv(rows: Sequence[Validation]) -> str:
    """A line per stimulus; a value that means nothing is empty."""
    names = [field.name for field in fields(Validation)]
    return csv_text([names, *([_cell(getattr(row, name)) for name in names] for row in rows)])


def held_out_csv(rows: Sequence[Rescored]) -> str:
    """A line per neuron: its objectives on the members used, and on the one held out, for each member in turn."""
    members = range(len(rows[0].own))
    header = ["session", "neuron", "ratio", *(f"{side}_{m}" for side in ("own", "held_out") for m in members)]
    lines = [[row.session, row.neuron, row.ratio, *row.own, *row.held_out] for row in rows]
    return csv_text([header, *([_cell(value) for value in line] for line in lines)])


def write_validation(rows: Sequence[Validation], folder: RunFolder) -> list[Path]:
    """Write table and figure, both or neither."""
    with folder.stage() as aside:
        (aside / TABLE).write_text(validation_csv(rows), encoding="utf-8")
        write_figure(rows, aside / FIGURE)
        _publish(folder, aside)
    return [folder.path / TABLE, folder.path / FIGURE]


def write_held_out(rows: Sequence[Rescored], folder: RunFolder) -> list[Path]:
    """Write the table, whole or not at all."""
    with folder.stage() as aside:
        (aside / HELD_OUT).write_text(held_out_csv(rows), encoding="utf-8")
        _publish(folder, aside)
    return [folder.path / HELD_OUT]


def _publish(folder: RunFolder, aside: Path) -> None:
    with folder.explained(ArtifactError):
        folder.publish(aside, before=None)
