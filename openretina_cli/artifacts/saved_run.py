"""Reads back from a finished run's folder what its pictures are drawn from, without its model and without torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.folder import RESPONSE, RESULT, STIMULUS, RunFolder
from openretina_cli.artifacts.stimulus_file import read_stimulus_file
from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import ArtifactError


def read_view(folder: Path) -> RunView:
    """The run in a folder, as `openretina optimize` drew it.

    Raises:
        ArtifactError: a file is missing or broken, or the files do not fit each other.
    """
    result = RunFolder(folder).result
    if result is None:
        raise ArtifactError(f"{folder / RESULT} cannot be read", expected="the JSON of a finished run")
    facts = _Facts(result, folder / RESULT)
    channels = facts.texts("channels")
    stimulus = read_stimulus_file(folder / STIMULUS)
    if len(stimulus) != len(channels):
        raise ArtifactError(f"{folder / STIMULUS} has {len(stimulus)} channels", expected=str(len(channels)))
    neurons = facts.counts("neurons")
    return RunView(
        stimulus=stimulus,
        channels=channels,
        response=read_response(folder / RESPONSE, len(neurons)),
        trace_names=tuple(f"neuron {neuron}" for neuron in neurons),
        lag=facts.count("lag_frames"),
        window=facts.window("window_response_frames"),
        frame_rate=facts.positive("frame_rate_hz"),
        pixel_size=facts.positive("pixel_size_um"),
        title=facts.text("title"),
    )


def read_response(path: Path, traces: int) -> NDArray[np.float32]:
    """The responses `(time, trace)` in a table, whose last columns are the traces.

    Raises:
        ArtifactError: it cannot be read, or has no such columns.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
        values = [[float(value) for value in row[len(row) - traces :]] for row in rows]
        return np.array(values, dtype=np.float32).reshape(len(rows), traces)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "a row is not made of numbers"
        raise ArtifactError(f"{path} cannot be read: {reason}", expected=f"a column for each of {traces}") from error


class _Facts:
    """What a result says, once it is what it should be."""

    def __init__(self, result: Mapping[str, Any], path: Path) -> None:
        self._result, self._path = result, path

    def _checked(self, key: str, fits: bool, expected: str) -> Any:
        if not fits:
            problem = f"says {key}={self._result[key]!r:.80}" if key in self._result else f"has no {key}"
            raise ArtifactError(f"{self._path} {problem}", expected=expected)
        return self._result[key]

    def text(self, key: str) -> str:
        return str(self._checked(key, isinstance(self._result.get(key), str), "a text"))

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._result.get(key)
        fits = isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
        return tuple(self._checked(key, fits, "a list of names"))

    def count(self, key: str) -> int:
        return int(self._checked(key, _is_count(self._result.get(key)), "a whole number, 0 or above"))

    def counts(self, key: str) -> tuple[int, ...]:
        value = self._result.get(key)
        fits = isinstance(value, list) and all(map(_is_count, value))
        return tuple(self._checked(key, fits, "a list of whole numbers"))

    def window(self, key: str) -> tuple[int, int] | None:
        value = self._result.get(key)
        fits = value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)))
        found = self._checked(key, key in self._result and fits, "two whole numbers, or null")
        return None if found is None else (found[0], found[1])

    def positive(self, key: str) -> float | None:
        value = self._result.get(key)
        fits = value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)
        return self._checked(key, key in self._result and fits, "a positive number, or null")  # type: ignore[no-any-return]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
