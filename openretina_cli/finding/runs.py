"""Finished runs as stimuli to play again, and the model that they were made with, both read as untrusted data.

No class that a folder names is imported, and nothing is downloaded but what the packaged models download.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.config.stated import stated_model
from openretina_cli.config.target import TARGET, Option, packaged_targets
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.run.finished import check_cells, finite, read_completed, response_window
from openretina_cli.run.finished import check_weights as check_weights_of
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.finder import find_finished, shown_name
from openretina_cli.store.result import Result
from openretina_cli.store.values import below

SUPPRESSING = ("mdi",)
"""Kinds of objectives whose stimulus is not to excite."""

NEEDED = ("session", "neurons", "window_response_frames")
REPAIR = "model=NAME, as it was typed for openretina optimize"


@dataclass(frozen=True)
class Stimulus:
    """The stimulus of a finished run.

    Attributes:
        name: the run's folder below the one that was named.
        result: the run's record.
        type: label of the cell type of all its neurons; empty where they have none, or several.
    """

    name: str
    result: Result
    type: str = ""

    @property
    def kind(self) -> str:
        """Kind of the objective, such as "mei"; a user's class is named whole."""
        target = str(below(self.result.settings, f"objective.{TARGET}") or "")
        return target.split(".")[-2] if target in packaged_targets() else target

    @property
    def excites(self) -> bool:
        """Whether the stimulus was made to excite."""
        return self.kind not in SUPPRESSING

    def values(self, facts: ModelFacts) -> NDArray[np.float32]:
        """The stimulus `(channel, time, height, width)`.

        Raises:
            ArtifactError: it cannot be read, is not finite, or does not fit the model.
        """
        found = finite(self.name, read_stimulus(self.result.path.parent))
        expected = (len(facts.channels), found.shape[1], facts.height, facts.width)
        if found.shape != expected or facts.response_frames(found.shape[1]) < 1:
            wanted = f"({expected[0]}, more than {facts.lag} frames, {facts.height}, {facts.width})"
            raise ArtifactError(f"{self.name}: its stimulus has shape {found.shape}", expected=wanted)
        return found

    def window(self, response_frames: int) -> tuple[int, int]:
        """The response frames `[start, stop)` that count, those of the run.

        Raises:
            ArtifactError: the window reaches outside the response.
        """
        return response_window(self.name, self.result.window, response_frames)


def type_label(facts: ModelFacts, session: str, neuron: int) -> str:
    """Name and number of a neuron's cell type; empty where the checkpoint has none."""
    groups = facts.groups.get(session, ())
    return f"{facts.group_names.get(groups[neuron], 'unnamed')} ({groups[neuron]})" if neuron < len(groups) else ""


def read_records(folder: Path) -> tuple[list[Stimulus], list[OpenRetinaError]]:
    """The finished runs in a folder, and why others are left out.

    Raises:
        SettingError: the folder is not there, or holds no finished run.
        ArtifactError: none of the runs can be read.
    """
    found: list[Stimulus] = []
    errors: list[OpenRetinaError] = []
    for path in find_finished([folder]):
        try:
            found.append(Stimulus(shown_name(path, folder.resolve()), read_completed(path, *NEEDED)))
        except ArtifactError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found, errors


def with_types(stimuli: Sequence[Stimulus], facts: ModelFacts) -> tuple[list[Stimulus], list[OpenRetinaError]]:
    """The runs whose cells and stimulus a model has, each with its type, and why others are left out."""
    fit: list[Stimulus] = []
    errors: list[OpenRetinaError] = []
    for stimulus in stimuli:
        try:
            fit.append(_typed(stimulus, facts))
        except OpenRetinaError as error:
            errors.append(error)
    if not fit:
        raise errors[0]
    return fit, errors


def _typed(stimulus: Stimulus, facts: ModelFacts) -> Stimulus:
    session, neurons = stimulus.result.session, stimulus.result.neurons
    check_cells(stimulus.name, session, neurons, facts)
    stimulus.window(facts.response_frames(stimulus.values(facts).shape[1]))
    labels = {type_label(facts, session, neuron) for neuron in neurons}
    return Stimulus(stimulus.name, stimulus.result, labels.pop() if len(labels) == 1 else "")


def model_of(stimuli: Sequence[Stimulus]) -> Option:
    """The one model that runs state, as settings whose class is the package's.

    Raises:
        SettingError: they state several or none, or one that names code or an address that the package does not.
    """
    node, where = stimuli[0].result.settings.get("model"), stimuli[0].result.path.parent
    for stimulus in stimuli:
        if stimulus.result.settings.get("model") != node:
            raise SettingError(
                f"{where} and {stimulus.result.path.parent} were made with different models",
                expected="runs of one model",
                repair=REPAIR,
            )
    return stated_model(node, where, REPAIR)


def check_weights(stimuli: Sequence[Stimulus], facts: ModelFacts) -> None:
    """Refuse a model whose files are not those that the runs were made with.

    Raises:
        SettingError: the digests differ.
    """
    repair = f"{REPAIR}, which plays its stimulus to that model all the same"
    for stimulus in stimuli:
        check_weights_of(stimulus.result.path.parent, stimulus.result.sha256, facts, repair)


def frames_of(stimulus: Stimulus) -> int:
    """Frames of a stimulus as its record states them, or 50, the default of openretina optimize."""
    shape = below(stimulus.result.tree, "stimulus.shape")
    frames = shape[2] if isinstance(shape, list) and len(shape) == 5 else None
    return frames if isinstance(frames, int) and 0 < frames <= 10_000 else 50
