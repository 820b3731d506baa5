"""Measuring runs: the scores of all their stimuli, and the gradients."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from openretina_cli.errors import ObjectiveError, OpenRetinaError
from openretina_cli.limits import norms
from openretina_cli.loop.bundle import Bundle
from openretina_cli.loop.run import Run
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.objective.stack import Stack, numbers
from openretina_cli.stopper import Step

Place = tuple[Bundle, int]
"""A bundle, and one of its rows."""


class _ReentrantCheckpointError(Exception):
    """A model uses `torch.utils.checkpoint` with `use_reentrant=True`."""


class _Rows:
    """Rows of bundles as one tensor; where they are a whole bundle, it is there already."""

    def __init__(self, places: Sequence[Place]) -> None:
        rows: dict[int, tuple[Bundle, list[int]]] = {}
        for bundle, row in places:
            rows.setdefault(id(bundle), (bundle, []))[1].append(row)
        self._parts = [
            (bundle, None if some == [*range(len(bundle.runs))] else torch.tensor(some, device=bundle.stimuli.device))
            for bundle, some in rows.values()
        ]

    def stimuli(self) -> Tensor:
        """The stimuli `(row, channel, time, height, width)`; gradients flow back to those of the bundles."""
        parts = [
            bundle.stimuli if rows is None else bundle.stimuli.index_select(0, rows) for bundle, rows in self._parts
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Call:
    """Runs whose scores are found with one call of their model, or of an objective about a set, or about itself.

    Args:
        objectives: of each run.
        places: where their stimuli are.
    """

    def __init__(self, objectives: Sequence[AbstractObjective], places: Sequence[Place]) -> None:
        self._objectives, self._rows = objectives, _Rows(places)
        self._stack: Stack | None = None

    @property
    def by_rows(self) -> bool:
        """Whether an objective is called for a run by itself, known once there is a score."""
        return self._stack is None or self._stack.by_rows

    def scores(self) -> Tensor:
        """The scores `(run,)`."""
        first, stimuli = self._objectives[0], self._rows.stimuli()
        if first.scores_responses:
            responses = first.respond(stimuli)
            self._stack = self._stack or Stack(self._objectives, responses)
            return self._stack(responses)
        scores = first.forward(stimuli)
        return scores if first.set_size > 1 else numbers([scores], self._objectives)


def _sharing(run: Run, place: Place) -> Hashable:
    """Grouping key of runs whose scores are found with one call."""
    objective, stimuli = run.problem.objective, place[0].stimuli
    if objective.scores_responses:
        return objective.shared_call, stimuli.shape[1:], stimuli.dtype
    return id(objective) if objective.set_size > 1 else run.index, objective.set_size > 1


class Measure:
    """Measures the runs of some bundles; what does not change between iterations is worked out once.

    Args:
        bundles: the bundles, which keep their runs as long as they are measured by this.
    """

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        self._bundles = bundles
        places = [(bundle, row) for bundle in bundles for row in range(len(bundle.runs))]
        self.runs = [bundle.runs[row] for bundle, row in places]
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index, (run, place) in enumerate(zip(self.runs, places, strict=True)):
            groups[_sharing(run, place)].append(index)
        self._calls = [
            _Call([self.runs[index].problem.objective for index in some], [places[index] for index in some])
            for some in groups.values()
        ]
        self._order = torch.tensor([index for some in groups.values() for index in some]).argsort()
        self._order = self._order.to(bundles[0].stimuli.device)
        self._nothing = torch.zeros(len(self.runs), device=bundles[0].stimuli.device)

    @property
    def by_rows(self) -> bool:
        """Whether an objective is called for a run by itself, which is not to happen after the run has ended."""
        return any(call.by_rows for call in self._calls)

    def _scores(self) -> Tensor:
        """Score the runs.

        Raises:
            ObjectiveError: an objective, or the model in it, raised.
        """
        try:
            scores = [call.scores() for call in self._calls]
            return scores[0] if len(scores) == 1 else torch.cat(scores).index_select(0, self._order)
        except OpenRetinaError:
            raise
        except Exception as error:  # whatever a user's objective raises
            names = "; ".join(dict.fromkeys(repr(run.problem.objective) for run in self.runs))
            raise ObjectiveError(f"{names} failed: {type(error).__name__}: {error}") from error

    def _penalties(self, scores: Tensor) -> Tensor | None:
        found = [bundle.penalty() for bundle in self._bundles]
        if all(penalty is None for penalty in found):
            return None
        sizes = [len(bundle.runs) for bundle in self._bundles]
        parts = [scores.new_zeros(size) if one is None else one for one, size in zip(found, sizes, strict=True)]
        return torch.cat(parts)

    def _descents(self, totals: Tensor) -> list[Tensor]:
        """Per bundle the gradients of minus the totals, as optimizers make things smaller."""
        stimuli = [bundle.stimuli for bundle in self._bundles]
        if not totals.requires_grad:
            return [torch.zeros_like(batch) for batch in stimuli]
        # the gradient of the sum, as torch imports sympy (0.3 s) where it is given the gradients of several outputs
        try:
            found = torch.autograd.grad(-totals.sum(), stimuli, allow_unused=True)
        except RuntimeError as error:
            if "checkpoint" not in str(error):
                raise
            raise _ReentrantCheckpointError from error
        return [torch.zeros_like(s) if g is None else g for s, g in zip(stimuli, found, strict=True)]

    def _descents_of_checkpoints(self) -> list[Tensor]:
        """Per bundle the same gradients from `backward`, for models whose reentrant checkpoints refuse `autograd.grad`.

        The graph was freed by the refusal, so that the stimuli are scored again.
        """
        scores = self._scores()
        penalties = self._penalties(scores)
        torch.autograd.backward((-scores if penalties is None else penalties - scores).sum())
        found = [bundle.stimuli.grad for bundle in self._bundles]
        return [torch.zeros_like(b.stimuli) if g is None else g for b, g in zip(self._bundles, found, strict=True)]

    @torch.no_grad()
    def _numbers(self, scores: Tensor, penalties: Tensor | None, descents: Sequence[Tensor]) -> list[list[float]]:
        """Scores, penalties, norms of stimuli and norms of gradients of all runs: one transfer for all."""
        nothing = self._nothing
        columns = [scores, nothing if penalties is None else penalties]
        columns += [_all_norms(some) if some else nothing for some in ([b.stimuli for b in self._bundles], descents)]
        found: list[list[float]] = torch.stack([_single(column) for column in columns]).tolist()
        return found

    def __call__(self) -> tuple[list[Step], list[Tensor]]:
        """Measure the stimuli of all runs.

        Returns:
            A step per run, bundle by bundle; and per bundle the gradients of what is to fall, with respect to its
            `stimuli`, or nothing where no run can make another step.
        """
        going = any(run.wants_gradient for run in self.runs)
        with torch.set_grad_enabled(going):
            scores = self._scores()
            penalties = self._penalties(scores)
            try:
                descents = self._descents(scores if penalties is None else scores - penalties) if going else []
            except _ReentrantCheckpointError:
                descents = self._descents_of_checkpoints()
        found = self._numbers(scores, penalties, descents)
        return [_step(run, *row) for run, row in zip(self.runs, zip(*found, strict=True), strict=True)], descents


def _all_norms(parts: Sequence[Tensor]) -> Tensor:
    """The norms `(run,)` of the rows of all bundles."""
    found = [norms(part).view(-1) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)


def _single(column: Tensor) -> Tensor:
    """Numbers as float32, in which they are told."""
    return column if column.dtype == torch.float32 else column.to(torch.float32)


def _step(run: Run, objective: float, penalty: float, stimulus_norm: float, gradient_norm: float) -> Step:
    return Step(run.iteration, objective, penalty, gradient_norm if run.wants_gradient else math.nan, stimulus_norm)
