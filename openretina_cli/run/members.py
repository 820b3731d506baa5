"""How the members of an ensemble agree on a stimulus: the score of it on each member alone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from openretina_cli.models.retina import Ensemble, Retina
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.objective.stack import Stack
from openretina_cli.run.problem import Plan, accelerate

MOST_VALUES = 2**19
"""Values of the stimuli in one call; more gain nothing on a CPU."""

Scored = tuple[AbstractObjective, Tensor]
"""An objective on one member, and the stimulus `(channel, time, height, width)` of its run."""


def averaged_members(retina: Retina) -> list[torch.nn.Module]:
    """The members of an ensemble whose response is their mean; empty for other models."""
    plain = isinstance(retina, Ensemble) and type(retina).forward is Ensemble.forward
    return list(retina.members) if plain and isinstance(retina, Ensemble) else []


@torch.no_grad()
def member_scores(plans: Sequence[Plan], stimuli: Sequence[Tensor]) -> list[tuple[float, ...] | None]:
    """The score of every run's stimulus on each member.

    Args:
        plans: the runs.
        stimuli: the stimulus `(channel, time, height, width)` that each led to.

    Returns:
        By run the scores, in the order of the members; None where the model is no ensemble of several, and for
        objectives that call the model themselves, or score a set.
    """
    ensembles: dict[int, tuple[Ensemble, list[int]]] = {}
    for index, plan in enumerate(plans):
        objective, retina = plan.problem.objective, plan.retina
        several = isinstance(retina, Ensemble) and len(averaged_members(retina)) > 1
        if isinstance(retina, Ensemble) and several and objective.fits_fast_form and objective.set_size == 1:
            ensembles.setdefault(id(retina), (retina, []))[1].append(index)
    found: dict[int, list[float]] = {index: [] for _, indices in ensembles.values() for index in indices}
    for ensemble, indices in ensembles.values():
        for member in ensemble.members:
            on_member = moved_onto([plans[index] for index in indices], ensemble.of([member]))
            scored = [(plan.problem.objective, stimuli[index]) for plan, index in zip(on_member, indices, strict=True)]
            for place, score in _scores(scored):
                found[indices[place]].append(score)
    return [tuple(found[index]) if index in found else None for index in range(len(plans))]


def moved_onto(plans: Sequence[Plan], retina: Retina) -> list[Plan]:
    """The same runs on the fast form of another model with the same sessions and neurons."""
    return accelerate(
        [
            replace(plan, retina=retina, problem=replace(plan.problem, objective=plan.problem.objective.on(retina)))
            for plan in plans
        ]
    )


def _scores(rows: Sequence[Scored]) -> Iterator[tuple[int, float]]:
    """The place and the score of each row; rows that ask a model alike share its calls."""
    sharing: dict[Hashable, list[int]] = defaultdict(list)
    for place, (objective, stimulus) in enumerate(rows):
        alike = objective.shared_call if objective.scores_responses else place
        sharing[alike, stimulus.shape].append(place)
    for places in sharing.values():
        step = max(MOST_VALUES // rows[places[0]][1].numel(), 1)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            yield from zip(some, _together([rows[place] for place in some]), strict=True)


def _together(rows: Sequence[Scored]) -> list[float]:
    objectives, stack = [objective for objective, _ in rows], torch.stack([stimulus for _, stimulus in rows])
    if not objectives[0].scores_responses:
        return [float(objectives[0].forward(stack))]
    responses = objectives[0].respond(stack)
    scores: list[float] = Stack(objectives, responses)(responses).tolist()
    return scores


def recorded_members(scores: tuple[float, ...] | None) -> dict[str, Any] | None:
    """What `result.json` says of the members: their scores, the mean, and the standard deviation of the sample."""
    if scores is None:
        return None
    return {"scores": list(scores), "mean": statistics.fmean(scores), "sd": statistics.stdev(scores)}
