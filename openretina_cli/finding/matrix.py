"""The response of every neuron to every stimulus, in batches of stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openretina_cli.analysis.response_matrix import NORMALISATIONS, own_stimuli, share_of, zscored
from openretina_cli.errors import RunError
from openretina_cli.finding.runs import Stimulus, type_label
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.run.members import MOST_VALUES, averaged_members

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Neuron:
    """A row of the matrix; `type` is empty where the checkpoint has none."""

    session: str
    index: int
    type: str


@dataclass(frozen=True)
class Responses:
    """Responses of neurons to stimuli, both ordered by type.

    Attributes:
        neurons: the rows.
        stimuli: the columns.
        mean: `(neuron, stimulus)`, mean response in the window of each stimulus, averaged over members.
        spread: standard deviation over members (of the sample); NaN for a model of one network.
    """

    neurons: tuple[Neuron, ...]
    stimuli: tuple[Stimulus, ...]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def row_types(self) -> list[str]:
        """The type of every neuron; neurons without one are types of their own where the model has none at all."""
        if any(neuron.type for neuron in self.neurons):
            return [neuron.type for neuron in self.neurons]
        return [f"{neuron.session} {neuron.index}" for neuron in self.neurons]

    @property
    def column_types(self) -> list[str]:
        """The type that every stimulus was made for."""
        if any(neuron.type for neuron in self.neurons):
            return [stimulus.type for stimulus in self.stimuli]
        results = [stimulus.result for stimulus in self.stimuli]
        return [f"{r.session} {r.neurons[0]}" if len(r.neurons) == 1 else "" for r in results]

    @property
    def exciting_types(self) -> list[str]:
        """The same, and an empty text for stimuli that are not to excite."""
        return [label if s.excites else "" for label, s in zip(self.column_types, self.stimuli, strict=True)]

    @property
    def made_for(self) -> NDArray[np.bool_]:
        """`(neuron, stimulus)`: whether a stimulus was made for just that neuron."""
        rows = {(neuron.session, neuron.index): row for row, neuron in enumerate(self.neurons)}
        table = np.zeros((len(self.neurons), len(self.stimuli)), bool)
        for column, stimulus in enumerate(self.stimuli):
            row = rows.get((stimulus.result.session, stimulus.result.neurons[0]))
            if row is not None and len(stimulus.result.neurons) == 1 and stimulus.kind == "mei":
                table[row, column] = True
        return table

    def normalised(self) -> dict[str, NDArray[np.float64]]:
        """The matrix by normalisation: raw, z-score over stimuli, and share of the response to the own stimulus."""
        own = own_stimuli(self.mean, self.made_for, self.row_types, self.exciting_types)
        return dict(zip(NORMALISATIONS, (self.mean, zscored(self.mean), share_of(self.mean, own)), strict=True))


def _group_order(facts: ModelFacts, session: str, neuron: int) -> int:
    groups = facts.groups.get(session, ())
    return groups[neuron] if neuron < len(groups) else 2**31


def ordered_neurons(facts: ModelFacts, sessions: Sequence[str]) -> list[Neuron]:
    """All neurons of some sessions by number of their type, then in the order of the checkpoint."""
    found = [(session, neuron) for session in sessions for neuron in range(facts.sessions[session])]
    found.sort(key=lambda item: _group_order(facts, *item))
    return [Neuron(session, neuron, type_label(facts, session, neuron)) for session, neuron in found]


def ordered_stimuli(facts: ModelFacts, stimuli: Sequence[Stimulus]) -> list[Stimulus]:
    """Stimuli by number of the type that they were made for, those of several types last, else as they are."""
    return sorted(
        stimuli,
        key=lambda s: _group_order(facts, s.result.session, s.result.neurons[0]) if s.type else 2**31,
    )


Batch = tuple[list[int], Tensor, tuple[int, int]]
"""Positions of stimuli, the stimuli, and their window of response frames."""


def _batches(stimuli: Sequence[Stimulus], facts: ModelFacts) -> Iterator[Batch]:
    """Neighbours that share shape and window, as stacks; only one stack is in memory."""
    places: list[int] = []
    waiting: list[NDArray[np.float32]] = []
    shared: tuple[int, int] = (0, 0)
    for place, stimulus in enumerate(stimuli):
        values = stimulus.values(facts)
        window = stimulus.window(facts.response_frames(values.shape[1]))
        full = len(waiting) >= max(MOST_VALUES // values.size, 1)
        if waiting and (full or shared != window or waiting[0].shape != values.shape):
            yield places, torch.from_numpy(np.stack(waiting)), shared
            places, waiting = [], []
        places.append(place)
        waiting.append(values)
        shared = window
    yield places, torch.from_numpy(np.stack(waiting)), shared


@torch.inference_mode()
def respond(
    retina: Retina, stimuli: Sequence[Stimulus], sessions: Sequence[str], device: torch.device, progress: Progress
) -> Responses:
    """Play every stimulus to every neuron of some sessions.

    Memory holds one batch of stimuli, and the matrix.

    Args:
        retina: the model, on `device`.
        stimuli: at least one, all of which fit the model.
        sessions: whose neurons are asked.
        device: where the model is.
        progress: called with stimuli done and all.

    Raises:
        RunError: the model fails.
    """
    facts, networks = retina.facts, averaged_members(retina) or [retina]
    for session in sessions:
        retina.examine(session)
    neurons, columns = ordered_neurons(facts, sessions), ordered_stimuli(facts, stimuli)
    rows = {s: [i for i, neuron in enumerate(neurons) if neuron.session == s] for s in sessions}
    mean, spread = (np.full((len(neurons), len(columns)), np.nan) for _ in range(2))
    for places, batch, (start, stop) in _batches(columns, facts):
        for session in sessions:
            answers = torch.stack([_answer(net, batch.to(device), session)[:, start:stop].mean(1) for net in networks])
            order = [neurons[row].index for row in rows[session]]
            cells = np.ix_(rows[session], places)
            mean[cells] = answers.double().mean(0).T[order].cpu().numpy()
            if len(networks) > 1:
                spread[cells] = answers.double().std(0).T[order].cpu().numpy()
        progress(places[-1] + 1, len(columns))
    return Responses(tuple(neurons), tuple(columns), mean, spread)


def _answer(network: nn.Module, batch: Tensor, session: str) -> Tensor:
    try:
        answer: Tensor = network(batch, session)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if "memory" in str(error):
            raise
        raise RunError(f"the model failed on session {session}: {type(error).__name__}: {error}") from error
    return answer


def contiguous(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Neighbours with equal labels: label, start, stop."""
    found, start = [], 0
    for label, members in groupby(labels):
        stop = start + len(list(members))
        found.append((label, start, stop))
        start = stop
    return found
