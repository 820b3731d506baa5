"""The door for finished runs that are played again: what their folders state, as data, and whether a model fits it.

No class that a folder names is imported; `config.stated` reads its settings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.store.result import COMPLETED, Result, read_result


def read_completed(folder: Path, *needed: str) -> Result:
    """The record of a completed run.

    Args:
        folder: of the run.
        needed: fields, as `result.json` names them, without which it is of no use.

    Raises:
        ArtifactError: it cannot be read, a field is missing or of another type, the run ended otherwise, or
            what it drives is a unit inside the model.
    """
    result = read_result(folder)
    result.need("status", *needed)
    if result.status != COMPLETED:
        raise ArtifactError(f"{folder} is {result.status!r:.40}", expected="a completed run")
    for name in result.traces:
        if not name.startswith("neuron "):
            raise ArtifactError(f"{folder} is of {name:.80}, which is no neuron", expected="a run of neurons")
    return result


def finite(where: Path | str, stimulus: NDArray[np.float32]) -> NDArray[np.float32]:
    """A stimulus, once it is known to be finite.

    Raises:
        ArtifactError: it is not.
    """
    if not np.isfinite(stimulus).all():
        raise ArtifactError(f"{where}: its stimulus holds NaN or infinity", expected="finite values")
    return stimulus


def check_cells(where: str, session: str, neurons: tuple[int, ...], facts: ModelFacts) -> None:
    """Refuse cells that a model has not.

    Raises:
        ArtifactError: there is such a cell, or none at all.
    """
    if not neurons or max(neurons) >= facts.sessions.get(session, 0):
        raise ArtifactError(f"{where} is of neurons that {facts.name} has not", repair="model=NAME")


def response_window(where: str, window: tuple[int, int] | None, frames: int) -> tuple[int, int]:
    """The response frames `[start, stop)` that a run was made for; all of them where it states none.

    Raises:
        ArtifactError: the window reaches outside the response.
    """
    start, stop = window or (0, frames)
    if not 0 <= start < stop <= frames:
        raise ArtifactError(f"{where}: its window [{start}, {stop}) is outside {frames} response frames")
    return start, stop


def check_weights(where: Path | str, sha256: str, facts: ModelFacts, repair: str) -> None:
    """Refuse a model whose weights are not those that a run was made with.

    Raises:
        SettingError: the digests differ.
    """
    if sha256 and sha256 != facts.sha256:
        raise SettingError(f"{where} was made with other weights of {facts.name} than are there now", repair=repair)
