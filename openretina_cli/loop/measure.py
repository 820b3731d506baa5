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
from openretina_cli.loop.run import Problem, Run
from openretina_cli.loop.scoring import scores_of
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.stopper import Step

Row = tuple[Problem, Tensor]
"""A problem and its stimulus `(channel, time, height, width)`."""


class _ReentrantCheckpointError(Exception):
    """A model uses `torch.utils.checkpoint` with `use_reentrant=True`."""


def _one_number(score: object, objective: AbstractObjective) -> Tensor:
    """Check what a user's objective returned."""
    if not isinstance(score, Tensor) or score.numel() != 1:
        returned = f"shape {tuple(score.shape)}" if isinstance(score, Tensor) else f"a {type(score).__name__}"
        raise ObjectiveError(f"{objective!r} returned {returned}", expected="a tensor with one number")
    return score.reshape(())


def _together(bundles: Sequence[Bundle], rows: Sequence[Row]) -> Tensor:
    """The stimuli of rows as one tensor; where they are a whole bundle, it is there already."""
    for bundle in bundles:
        if len(rows) == len(bundle.rows) and all(own is row for own, (_, row) in zip(bundle.rows, rows, strict=True)):
            return bundle.stimuli
    return torch.stack([row for _, row in rows])


def _scores(bundles: Sequence[Bundle]) -> list[Tensor]:
    """Score all runs: those that ask the same session of the same model with one call of the model."""
    rows = [(run.problem, row) for bundle in bundles for run, row in zip(bundle.runs, bundle.rows, strict=True)]
    scores: dict[int, Tensor] = {}
    sharing: dict[Hashable, list[int]] = defaultdict(list)
    sets: dict[int, list[int]] = defaultdict(list)
    for index, (problem, row) in enumerate(rows):
        objective = problem.objective
        if objective.scores_responses:
            sharing[objective.shared_call].append(index)
        elif objective.set_size > 1:
            sets[id(objective)].append(index)
        else:
            scores[index] = _one_number(objective.forward(row[None]), objective)
    for indices in sets.values():
        found = rows[indices[0]][0].objective.forward(torch.stack([rows[index][1] for index in indices]))
        scores.update(zip(indices, found.unbind(), strict=True))
    for indices in sharing.values():
        responses = rows[indices[0]][0].objective.respond(_together(bundles, [rows[index] for index in indices]))
        objectives = [rows[index][0].objective for index in indices]
        for index, objective, score in zip(indices, objectives, scores_of(objectives, responses), strict=True):
            scores[index] = _one_number(score, objective)
    return [scores[index] for index in range(len(rows))]


def _guarded_scores(bundles: Sequence[Bundle]) -> list[Tensor]:
    """Score the runs.

    Raises:
        ObjectiveError: an objective, or the model in it, raised.
    """
    try:
        return _scores(bundles)
    except OpenRetinaError:
        raise
    except Exception as error:  # whatever a user's objective raises
        names = "; ".join(dict.fromkeys(repr(run.problem.objective) for bundle in bundles for run in bundle.runs))
        raise ObjectiveError(f"{names} failed: {type(error).__name__}: {error}") from error


def _penalty(problem: Problem, row: Tensor) -> Tensor:
    """The summed penalties of a stimulus, a scalar."""
    total = row.new_zeros(())
    for penalty in problem.penalties:
        total = total + penalty.forward(row[None]).sum()
    return total


def _descents(bundles: Sequence[Bundle], totals: Tensor) -> list[Tensor]:
    """Per bundle the gradients of minus the totals, as optimizers make things smaller."""
    stimuli = [bundle.stimuli for bundle in bundles]
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


def _descents_of_checkpoints(bundles: Sequence[Bundle]) -> list[Tensor]:
    """Per bundle the same gradients from `backward`, for models whose reentrant checkpoints refuse `autograd.grad`.

    The graph was freed by the refusal, so that the stimuli are scored again.
    """
    rows = [row for bundle in bundles for row in bundle.rows]
    runs = [run for bundle in bundles for run in bundle.runs]
    penalties = torch.stack([_penalty(run.problem, row) for run, row in zip(runs, rows, strict=True)])
    total = (penalties - torch.stack(_guarded_scores(bundles))).sum()
    torch.autograd.backward(total)
    found = [bundle.stimuli.grad for bundle in bundles]
    return [torch.zeros_like(b.stimuli) if g is None else g for b, g in zip(bundles, found, strict=True)]


def _step(run: Run, objective: float, penalty: float, stimulus_norm: float, gradient_norm: float) -> Step:
    return Step(run.iteration, objective, penalty, gradient_norm if run.wants_gradient else math.nan, stimulus_norm)


def measure(bundles: Sequence[Bundle]) -> tuple[list[Step], list[Tensor]]:
    """Measure the stimuli of all runs.

    Returns:
        A step per run, bundle by bundle; and per bundle the gradients of what is to fall, with respect to its
        `stimuli`, or nothing where no run can make another step.
    """
    runs = [run for bundle in bundles for run in bundle.runs]
    going = any(run.wants_gradient for run in runs)
    with torch.set_grad_enabled(going):
        scores = torch.stack(_guarded_scores(bundles))
        rows = [row for bundle in bundles for row in bundle.rows]
        penalties = torch.stack([_penalty(run.problem, row) for run, row in zip(runs, rows, strict=True)])
        try:
            descents = _descents(bundles, scores - penalties) if going else []
        except _ReentrantCheckpointError:
            descents = _descents_of_checkpoints(bundles)
    columns = [scores, penalties, torch.cat([norms(bundle.stimuli.detach()).flatten() for bundle in bundles])]
    columns.append(torch.cat([norms(some).flatten() for some in descents]) if going else torch.zeros_like(scores))
    # one transfer for all numbers of all runs
    numbers = torch.stack([column.detach().to(torch.float32) for column in columns], dim=1).tolist()
    return [_step(run, *row) for run, row in zip(runs, numbers, strict=True)], descents
