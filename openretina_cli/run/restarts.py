"""Several random starts in one run: all are optimised, the best is kept, and the result says how the others ended.

One start is not the optimum: the stimuli that different seeds lead to can differ much, and their scores little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from openretina_cli.config.settings import Settings
from openretina_cli.config.target import build
from openretina_cli.errors import SettingError
from openretina_cli.loop.loop import Outcome, Problem, optimize_stack
from openretina_cli.stimulus.base import Constrain, Parameters
from openretina_cli.stopper import Step

if TYPE_CHECKING:
    from openretina_cli.run.problem import Plan


def start_seeds(seed: int, count: int) -> list[int]:
    """Seeds of the starts of a run: its own first, then seeds derived from it that no other run's seed leads to."""
    derived = (hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(1, count))
    return [seed, *(int.from_bytes(digest[:6], "big") for digest in derived)]


def further_starts(
    settings: Settings, offered: Mapping[str, Any], first: Tensor, constrain: Constrain
) -> tuple[Tensor, ...]:
    """The starts `(channel, time, height, width)` of a run beside its first one.

    Args:
        settings: of the run.
        offered: what the pipeline offers to the option `stimulus`.
        first: the first start.
        constrain: the constraints of the run.

    Raises:
        SettingError: the start does not depend on the seed.
    """
    starts = tuple(
        build(settings.stimulus, Parameters, {**offered, "seed": seed}).initial(constrain).to(first.device)
        for seed in start_seeds(settings.seed, settings.restarts)[1:]
    )
    if starts and torch.equal(starts[0], first):
        raise SettingError(
            f"restarts={settings.restarts} would start from the same stimulus each time",
            expected="a random start, without stimulus.file",
            repair="restarts=1",
        )
    return starts


@dataclass(frozen=True)
class Start:
    """How the run from one start ended.

    Attributes:
        seed: of the start.
        objective: of the stimulus that it led to.
        penalty: the penalties of that stimulus.
        iterations: optimizer steps.
        stop_reason: why it ended.
        failure: what went wrong, if it diverged.
        cosine: between its stimulus and the one that is kept; 0 where one of them is zero everywhere.
        kept: whether its stimulus is the one that is kept.
    """

    seed: int
    objective: float
    penalty: float
    iterations: int
    stop_reason: str
    failure: str | None
    cosine: float
    kept: bool


@dataclass(frozen=True)
class BestOutcome(Outcome):
    """The outcome of the best of several starts.

    Attributes:
        starts: how each of them ended.
    """

    starts: tuple[Start, ...] = ()


def problems_of(plans: Sequence[Plan]) -> list[Problem]:
    """The problem of every start of every run."""
    return [replace(plan.problem, stimulus=start) for plan in plans for start in (plan.problem.stimulus, *plan.starts)]


def _total(outcome: Outcome) -> tuple[bool, float]:
    """What the best start has most of: it did not diverge, and its objective less penalty is large."""
    return outcome.failure is None, outcome.history[outcome.kept].total


def _best(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> Outcome:
    best = max(outcomes, key=_total)
    if len(outcomes) == 1:
        return best
    flat = [outcome.stimulus.flatten().double() for outcome in (best, *outcomes)]
    cosines = [float(torch.cosine_similarity(flat[0], other, dim=0)) for other in flat[1:]]
    starts = tuple(
        Start(
            seed=seed,
            objective=outcome.objective,
            penalty=outcome.history[outcome.kept].penalty,
            iterations=outcome.history[-1].iteration,
            stop_reason=outcome.stop_reason,
            failure=outcome.failure,
            cosine=cosine,
            kept=outcome is best,
        )
        for seed, outcome, cosine in zip(seeds, outcomes, cosines, strict=True)
    )
    return BestOutcome(**{field.name: getattr(best, field.name) for field in fields(Outcome)}, starts=starts)


def best_of(plans: Sequence[Plan], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The best outcome of each run, from those of `problems_of`, in their order."""
    left = iter(outcomes)
    found = [[next(left) for _ in range(1 + len(plan.starts))] for plan in plans]
    seeds = [start_seeds(plan.settings.seed, len(own)) for plan, own in zip(plans, found, strict=True)]
    return [_best(own, of_run) for own, of_run in zip(found, seeds, strict=True)]


def optimize_best(plans: Sequence[Plan], on_step: Callable[[int, Step], None]) -> list[Outcome]:
    """Optimise all starts of all runs as one stack, and return the best outcome of each run.

    Args:
        plans: the runs.
        on_step: called with the number of the run and each step of its first start.
    """
    firsts, place = {}, 0
    for number, plan in enumerate(plans):
        firsts[place] = number
        place += 1 + len(plan.starts)

    def tell(index: int, step: Step) -> None:
        if index in firsts:
            on_step(firsts[index], step)

    return best_of(plans, optimize_stack(problems_of(plans), tell))


def recorded_starts(outcome: Outcome) -> list[dict[str, Any]] | None:
    """What `result.json` says of the starts of a run; None where there was one."""
    return [dict(vars(start)) for start in outcome.starts] if isinstance(outcome, BestOutcome) else None
