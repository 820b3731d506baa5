"""Scores of many runs from one response, with a number of tensor operations that does not grow with the runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from openretina_cli.errors import ObjectiveError
from openretina_cli.reducer import ResponseReducer, holds_for

if TYPE_CHECKING:
    from openretina_cli.objective.base import AbstractObjective, Weights

Scorer = Callable[[Tensor], Tensor]
"""From responses `(run, time, neuron)` to scores `(run,)`."""


class _Sums:
    """Weighted sums of some entries of a flat last axis; of entries without a weight nothing is read.

    Args:
        entries: the place of each product among the sums, the entries that are taken, and their weight.
        places: number of sums.
        like: a tensor of the type and on the device of what is summed.
    """

    def __init__(self, entries: Iterable[tuple[int, range, float]], places: int, like: Tensor) -> None:
        where, columns, weights = zip(*sorted(entries, key=lambda entry: entry[0]), strict=True)
        counts = torch.tensor([len(some) for some in columns])
        self._columns = torch.tensor([column for some in columns for column in some], device=like.device)
        self._where = torch.tensor(where).repeat_interleave(counts).to(like.device)
        self._weights = like.new_tensor(weights).repeat_interleave(counts.to(like.device))
        self._places = places
        self._evenly = len(set(self._where.bincount(minlength=places).tolist())) == 1

    def __call__(self, x: Tensor) -> Tensor:
        """The sums `(..., place)` of `(..., entry)`."""
        found = x.index_select(-1, self._columns) * self._weights
        if self._evenly:
            return found.view(*x.shape[:-1], self._places, -1).sum(-1)
        return x.new_zeros(*x.shape[:-1], self._places).index_add(-1, self._where, found)


class Linear:
    """Scores of runs that state weights, as one product.

    Args:
        weights: of each run.
        responses: responses `(run, time, neuron)` as they will be scored.
    """

    def __init__(self, weights: Sequence[Weights], responses: Tensor) -> None:
        _, frames, neurons = responses.shape
        entries: list[tuple[int, range, float]] = []
        for row, some in enumerate(weights):
            for start, stop, neuron, weight in some.terms:
                first, last = ((row * frames + frame) * neurons + neuron for frame in (start, stop))
                entries.append((row, range(first, last, neurons), weight / (stop - start)))
        self._sums = _Sums(entries, len(weights), responses)
        constants = [some.constant for some in weights]
        self._constants = responses.new_tensor(constants) if any(constants) else None

    def __call__(self, responses: Tensor) -> Tensor:
        """The scores `(run,)` of responses `(run, time, neuron)`."""
        found = self._sums(responses.contiguous().view(-1))
        return found if self._constants is None else found + self._constants


class Means:
    """Reduced mean responses of sets of neurons, of which each run has some.

    Args:
        sets: per run its sets of neurons; where a run has fewer sets than others, its last ones are zeros.
        reducer: reduces time; it has a `grouping`.
        responses: responses `(run, time, neuron)` as they will be reduced.
    """

    def __init__(self, sets: Sequence[Sequence[Sequence[int]]], reducer: ResponseReducer, responses: Tensor) -> None:
        neurons, self._reducer = responses.shape[2], reducer
        self.shape = len(sets), max(map(len, sets))
        entries = [
            (row * self.shape[1] + place, range(row * neurons + neuron, row * neurons + neuron + 1), 1 / len(some))
            for row, own in enumerate(sets)
            for place, some in enumerate(own)
            for neuron in some
        ]
        self._sums = _Sums(entries, self.shape[0] * self.shape[1], responses)

    def traces(self, responses: Tensor) -> Tensor:
        """The mean responses `(time, run, set)`, not reduced."""
        flat = responses.transpose(0, 1).flatten(1)
        return self._sums(flat).view(len(flat), *self.shape)

    def of_reduced(self, responses: Tensor) -> Tensor:
        """The means `(run, set)` of reduced responses, of responses `(run, time, neuron)`."""
        return self._sums(self._reducer.forward(responses.transpose(0, 1)).flatten()).view(self.shape)

    def __call__(self, responses: Tensor) -> Tensor:
        """The reduced mean responses `(run, set)` of responses `(run, time, neuron)`."""
        means = self._reducer.is_mean  # the order does not matter then, and this one is less work
        return self.of_reduced(responses) if means else self._reducer.forward(self.traces(responses))


def _one_number(score: object, objective: AbstractObjective) -> Tensor:
    """Check what a user's objective returned."""
    if not isinstance(score, Tensor) or score.numel() != 1:
        returned = f"shape {tuple(score.shape)}" if isinstance(score, Tensor) else f"a {type(score).__name__}"
        raise ObjectiveError(f"{objective!r} returned {returned}", expected="a tensor with one number")
    return score.reshape(())


def numbers(scores: Iterable[object], objectives: Sequence[AbstractObjective]) -> Tensor:
    """What objectives of the user returned for one stimulus each, as scores `(run,)`.

    Raises:
        ObjectiveError: one of them returned something else than one number.
    """
    return torch.stack([_one_number(score, one) for score, one in zip(scores, objectives, strict=True)])


class Stack:
    """Scores objectives together that are about the same responses.

    Those that state weights share one product, those with equal `grouping` what their class says in `scorer`, and all
    others are scored row by row.

    Args:
        objectives: of each run.
        responses: responses `(run, time, neuron)` as they will be scored.

    Attributes:
        by_rows: whether one of them is scored by itself.
    """

    def __init__(self, objectives: Sequence[AbstractObjective], responses: Tensor) -> None:
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index, objective in enumerate(objectives):
            groups[_group(objective, responses.shape[1])].append(index)
        self.by_rows = None in groups
        self._scorers = [
            _scorer(key, [objectives[index] for index in indices], responses[indices])
            for key, indices in groups.items()
        ]
        self._parts = [torch.tensor(indices, device=responses.device) for indices in groups.values()]
        self._order = torch.cat(self._parts).argsort()

    def __call__(self, responses: Tensor) -> Tensor:
        """The scores `(run,)` of responses `(run, time, neuron)`."""
        if len(self._scorers) == 1:
            return self._scorers[0](responses)
        parts = zip(self._scorers, self._parts, strict=True)
        return torch.cat([scorer(responses.index_select(0, some)) for scorer, some in parts])[self._order]


LINEAR = "linear"


def _group(objective: AbstractObjective, frames: int) -> Hashable:
    """Equal for objectives that are scored together; None for one that is scored by its own method."""
    cls: Any = type(objective)
    if objective.stated_weights(frames) is not None:
        return LINEAR
    alike = cls.grouping(objective) if holds_for(cls, "scorer", "score") else None
    return None if alike is None else (cls.scorer.__func__, alike)


def _scorer(key: Hashable, objectives: Sequence[Any], responses: Tensor) -> Scorer:
    if key == LINEAR:
        return Linear([objective.stated_weights(responses.shape[1]) for objective in objectives], responses)
    if key is not None:
        scorer: Scorer = type(objectives[0]).scorer(objectives, responses)
        return scorer
    return lambda responses: numbers(
        (objective.score(response) for objective, response in zip(objectives, responses, strict=True)), objectives
    )
