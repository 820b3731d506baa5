"""Answers of probes as arrays and as a table, and what of them stands on the page of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.finding.files import number, publish, save_bytes
from openretina_cli.finding.runs import type_label
from openretina_cli.models.facts import ModelFacts
from openretina_cli.probe.base import Answer, Probe
from openretina_cli.report.findings import finding
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FINDING
from openretina_cli.text import csv_text

FIGURE, PLACE = "probe.png", f"probe{FINDING}"
"""What the folder of a run gets."""
Arrays = dict[str, NDArray[np.generic]]
KINDS = ("columns", "arrays", "axes")


def packed(answer: Answer) -> Arrays:
    """One answer as arrays whose names say what they are."""
    return {f"{kind}/{name}": array for kind in KINDS for name, array in getattr(answer, kind).items()}


def unpacked(arrays: Mapping[str, NDArray[np.generic]]) -> Answer:
    """The answer that arrays hold."""
    parts: dict[str, dict[str, NDArray[np.generic]]] = {kind: {} for kind in KINDS}
    for text, array in arrays.items():
        kind, _, name = text.partition("/")
        parts[kind][name] = array
    columns = {name: np.asarray(array, np.float64) for name, array in parts["columns"].items()}
    return Answer(columns, parts["arrays"], parts["axes"])


def columns_of(answers: Mapping[str, Answer]) -> dict[str, NDArray[np.float64]]:
    """All columns `(neuron,)`, each after the name of its probe."""
    return {f"{name}_{column}": values for name, one in answers.items() for column, values in one.columns.items()}


def all_arrays(answers: Mapping[str, Answer], facts: ModelFacts, session: str, neurons: Sequence[int]) -> Arrays:
    """What `probe.npz` holds."""
    named = {
        f"{name}_{key}": array
        for name, one in answers.items()
        for key, array in (*one.axes.items(), *one.arrays.items())
    }
    types = np.array([type_label(facts, session, neuron) for neuron in neurons])
    return {"neuron": np.array(neurons), "type": types, **columns_of(answers), **named}


def headlines(probes: Mapping[str, Probe], answers: Mapping[str, Answer], row: int) -> dict[str, float]:
    """The numbers of a neuron that stand for the rest, by what tables call them, in the order of the probes."""
    found = columns_of(answers)
    named = {f"{name}_{key}": title for name, probe in probes.items() for key, title in probe.headline.items()}
    shown: dict[str, float] = {}
    for key, title in named.items():  # of two probes that measure the same, the first
        if key in found:
            shown.setdefault(title, float(found[key][row]))
    return shown


def show_in_run(folder: Path, numbers: Mapping[str, float], figure: bytes) -> None:
    """Leave the figure of a neuron and its numbers in the folder of its MEI, where the page finds them.

    Raises:
        ArtifactError: a file could not be written.
    """
    rows = [["number", "value"], *([title, f"{value:.3g}"] for title, value in numbers.items() if value == value)]
    page = finding("Probes", "What the field's standard stimuli find in this cell.", FIGURE, [], rows)
    contents = {FIGURE: figure, PLACE: json_bytes(page)}
    publish(folder, {name: partial(save_bytes, content) for name, content in contents.items()})


def table_text(answers: Mapping[str, Answer], facts: ModelFacts, session: str, neurons: Sequence[int]) -> str:
    """A row per neuron; a number that means nothing is empty."""
    columns = columns_of(answers)

    def rows() -> Iterator[list[object]]:
        yield ["session", "neuron", "type", *columns]
        for row, neuron in enumerate(neurons):
            numbers = (number(float(values[row])) for values in columns.values())
            yield [session, neuron, type_label(facts, session, neuron), *numbers]

    return csv_text(rows())
