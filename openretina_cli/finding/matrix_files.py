"""The files of `openretina respond`: the matrix, its long form, and the selectivity of every stimulus."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from openretina_cli.analysis.response_matrix import NORMALISATIONS, confusion, selectivities
from openretina_cli.finding.files import number, png_bytes, publish, save_bytes
from openretina_cli.finding.matrix import Responses
from openretina_cli.finding.matrix_figure import draw_matrix
from openretina_cli.finding.natural import FILE as NATURAL
from openretina_cli.finding.natural import Control, natural_csv
from openretina_cli.finding.types import TypeTable
from openretina_cli.report.findings import finding
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FINDING
from openretina_cli.text import csv_cell, csv_text

MATRIX, TABLE, SELECTIVITY, CONFUSION = "response_matrix.npz", "responses.csv", "selectivity.csv", "confusion.csv"
FIGURE, PLACE = "response_matrix.png", f"respond{FINDING}"


def _save_matrix(responses: Responses, against: Responses | None, path: Path) -> None:
    stimuli, results = responses.stimuli, [stimulus.result for stimulus in responses.stimuli]
    rest = {} if against is None else {"against": against.mean, "against_member_sd": against.spread}
    np.savez_compressed(
        path,
        allow_pickle=False,
        **responses.normalised(),
        member_sd=responses.spread,
        neuron_session=np.array([neuron.session for neuron in responses.neurons]),
        neuron=np.array([neuron.index for neuron in responses.neurons]),
        neuron_type=np.array([neuron.type for neuron in responses.neurons]),
        stimulus=np.array([stimulus.name for stimulus in stimuli]),
        stimulus_type=np.array([stimulus.type for stimulus in stimuli]),
        stimulus_objective=np.array([stimulus.kind for stimulus in stimuli]),
        stimulus_session=np.array([result.session for result in results]),
        stimulus_neurons=np.array([" ".join(map(str, result.neurons)) for result in results]),
        **rest,
    )


def long_rows(responses: Responses, against: Responses | None) -> Iterator[list[object]]:
    """The header, and a row for every neuron and stimulus; a number that means nothing is empty."""
    extra = () if against is None else ("against", "against_member_sd")
    yield [
        *("stimulus", "stimulus_type", "objective", "session", "neuron", "type", "own"),
        *("response", "member_sd", *NORMALISATIONS[1:], *extra),
    ]
    tables = responses.normalised()
    arrays = [responses.mean, responses.spread, *(tables[name] for name in NORMALISATIONS[1:])]
    arrays += [] if against is None else [against.mean, against.spread]
    for column, stimulus in enumerate(responses.stimuli):
        result = stimulus.result
        head = [csv_cell(text) for text in (stimulus.name, stimulus.type, stimulus.kind)]
        for row, neuron in enumerate(responses.neurons):
            own = int(neuron.session == result.session and neuron.index in result.neurons)
            numbers = (number(array[row, column]) for array in arrays)
            yield [*head, csv_cell(neuron.session), neuron.index, csv_cell(neuron.type), own, *numbers]


def _save_table(responses: Responses, against: Responses | None, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(long_rows(responses, against))


def agreement(responses: Responses, against: Responses) -> list[float]:
    """Pearson correlation over neurons between two models, by stimulus; NaN where one of them does not vary."""
    found = []
    for first, second in zip(responses.mean.T, against.mean.T, strict=True):
        varies = first.std() > 0 and second.std() > 0  # false for NaN, too
        found.append(float(np.corrcoef(first, second)[0, 1]) if varies else float("nan"))
    return found


def selectivity_csv(responses: Responses, against: Responses | None) -> str:
    """A row for every stimulus and normalisation, see `Selectivity`."""
    header = ["stimulus", "type", "objective", "normalisation", "own_mean", "other_type", "other_mean"]
    rows: list[Sequence[object]] = [
        [*header, "auc_other", "auc_all_others", "drives_other_more", "against_correlation"]
    ]
    alike = [""] * len(responses.stimuli) if against is None else list(map(number, agreement(responses, against)))
    for name, matrix in responses.normalised().items():
        found = selectivities(matrix, responses.row_types, responses.column_types)
        for stimulus, label, one, r in zip(responses.stimuli, responses.column_types, found, alike, strict=True):
            trapped = int(one.trapped) if stimulus.excites and label else ""
            numbers = (number(one.other), number(one.auc), number(one.auc_all))
            rows.append(
                [stimulus.name, label, stimulus.kind, name, number(one.own), one.other_type, *numbers, trapped, r]
            )
    return csv_text(rows)


def confusion_csv(responses: Responses) -> str:
    """A row for every type: the share of its neurons that the stimuli made for each type drive most."""
    types, kinds, shares = confusion(responses.mean, responses.row_types, responses.exciting_types)
    rows = ([label, *map(number, row)] for label, row in zip(types, shares, strict=True))
    return csv_text([["type", *kinds], *rows])


def write_responses(
    responses: Responses,
    against: Responses | None,
    controls: Sequence[Control],
    table: TypeTable,
    normalisation: str,
    folder: Path,
) -> list[Path]:
    """Write all files, the matrix last.

    Raises:
        ArtifactError: a file could not be written; those of before stay.
    """
    texts = {SELECTIVITY: selectivity_csv(responses, against), CONFUSION: confusion_csv(responses)}
    if controls:
        texts[NATURAL] = natural_csv(controls)
    size = f"{len(responses.neurons)} neurons, {len(responses.stimuli)} stimuli"
    page = finding(
        "Who else responds", f"{table.words}; {table.trapped} ({size}).", FIGURE, [TABLE, *texts, MATRIX], table.rows
    )
    contents = {name: text.encode("utf-8") for name, text in texts.items()}
    contents |= {FIGURE: png_bytes(draw_matrix(responses, normalisation)), PLACE: json_bytes(page)}
    return publish(
        folder,
        {
            TABLE: lambda path: _save_table(responses, against, path),
            **{name: partial(save_bytes, content) for name, content in contents.items()},
            MATRIX: lambda path: _save_matrix(responses, against, path),
        },
    )
