"""Reads the arrays in a run's folder, each as untrusted data: its stimulus, and its tables of steps and responses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError
from openretina_cli.store.files import RefusedError, read_text, refusing
from openretina_cli.store.names import HISTORY, MEMBERS, RESPONSE, STIMULUS
from openretina_cli.store.stimulus_file import read_members_file, read_stimulus_file

MAX_TABLE_BYTES = 2**24
MAX_ROWS = 10_000
MAX_COLUMNS = 1_000
"""Drawing each of a thousand responses takes 8 ms."""
MAX_CELLS = 2**18


def read_stimulus(folder: Path) -> NDArray[np.float32]:
    """The stimulus `(channel, time, height, width)` of a run.

    Raises:
        ArtifactError: the file cannot be read, or holds no stimulus.
    """
    return read_stimulus_file(folder / STIMULUS)


def read_members(folder: Path) -> NDArray[np.float32] | None:
    """The stimuli `(member, channel, time, height, width)` of the set that a run left; None where the file is gone.

    Raises:
        ArtifactError: the file cannot be read, or holds no such stack.
    """
    path = folder / MEMBERS
    return read_members_file(path) if path.exists() else None


def read_history(folder: Path) -> NDArray[np.float64]:
    """Iteration and objective `(step, 2)` of each stimulus that a run measured; empty where they cannot be read."""
    try:
        header, table = read_steps(folder)
        found = table[:, [header.index("iteration"), header.index("objective")]]
    except (ArtifactError, ValueError):
        return np.zeros((0, 2))
    return found if np.isfinite(found).all() else np.zeros((0, 2))


def read_steps(folder: Path) -> tuple[list[str], NDArray[np.float64]]:
    """The header of a run's table of steps, and its numbers `(row, column)`; NaN where a cell is empty.

    Raises:
        ArtifactError: the table cannot be read, is too large, or is not made of numbers.
    """
    return _read_table(folder / HISTORY, "a row of numbers per step", empty="nan")


def read_response(folder: Path) -> tuple[list[str], NDArray[np.float64]]:
    """The header of a run's table of responses, and its numbers `(row, column)`.

    Raises:
        ArtifactError: the table cannot be read, is too large, or is not made of numbers.
    """
    return _read_table(folder / RESPONSE, "a row of numbers per response frame")


def _read_table(path: Path, expected: str, empty: str = "") -> tuple[list[str], NDArray[np.float64]]:
    with refusing(path, expected):
        content = read_text(path, MAX_TABLE_BYTES)
        first, _, rest = content.partition("\n")
        if first.count(",") >= MAX_COLUMNS or rest.count("\n") > MAX_ROWS or content.count(",") > MAX_CELLS:
            raise RefusedError(f"at most {MAX_ROWS} rows, {MAX_COLUMNS} columns and {MAX_CELLS} cells are read")
        header, *rows = csv.reader(line for line in content.split("\n") if line)
        try:
            table = np.array([[float(cell or empty) for cell in row] for row in rows], np.float64)
        except ValueError as error:
            raise RefusedError("a row is not made of numbers") from error
        return header, table.reshape(len(rows), len(header))
