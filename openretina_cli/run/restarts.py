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

from openretina_cli.config.class_import import find_class
from openretina_cli.config.settings import Settings
from openretina_cli.config.target import TARGET, build
from openretina_cli.errors import SettingError
from openretina_cli.loop.loop import Keep, Outcome, Problem, optimize_stack
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.run.stimulus_set import set_outcome
from openretina_cli.stimulus.base import Constrain, Parameters
from openretina_cli.stopper import OptimizationStopper, Step

if TYPE_CHECKING:
    from openretina_cli.run.problem import Plan


def start_seeds(seed: int, count: int) -> list[int]:
    """Seeds of the starts of a run: its own first, then seeds derived from it that no other run's seed leads to."""
    derived = (hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(1, count))
    return [seed, *(int.from_bytes(digest[:6], "big") for digest in derived)]


def starts_of(settings: Settings) -> int:
    """How many stimuli a run optimises at once, as its settings say: restarts, or members of a set."""
    option = settings.objective
    cls = find_class(option.target, AbstractObjective, f"objective.{TARGET}")
    is_set = getattr(cls, "counts_members", False)  # a function that makes an objective states nothing
    return int(option.arguments.get("count", 1)) if is_set else settings.restarts


def further_starts(
    settings: Settings, offered: Mapping[str, Any], problem: Problem, constrain: Constrain
) -> list[Tensor]:
    """Candidates `(candidate, channel, time, height, width)` for each further start of a run: of restarts, or of a set.

    Args:
        settings: of the run.
        offered: what the pipeline offers to the option `stimulus`.
        problem: of the run.
        constrain: the constraints of the run.

    Raises:
        SettingError: the start does not depend on the seed, or the run has several starts and several members.
    """
    members, first = problem.objective.set_size, problem.stimulus
    if members > 1:
        _check_set(settings, problem)
    count = members if members > 1 else settings.restarts
    starts = [
        build(settings.stimulus, Parameters, {**offered, "seed": seed}).candidates(constrain).to(first.device)
        for seed in start_seeds(settings.seed, count)[1:]
    ]
    if starts and all(bool((candidates == first).all()) for candidates in starts):
        setting = f"objective.count={count}" if members > 1 else f"restarts={count}"
        raise SettingError(
            f"{setting} would start from the same stimulus each time",
            expected="a random start: stimulus.std above 0 without stimulus.file, or a movie longer than the stimulus",
        )
    return starts


def _check_set(settings: Settings, problem: Problem) -> None:
    """Refuse what cannot go with a set.

    Raises:
        SettingError: there are restarts, or a member could end before the others, which then could not differ from it.
    """
    if settings.restarts > 1:
        raise SettingError(f"restarts={settings.restarts} does not go with a set of stimuli", repair="restarts=1")
    if type(problem.stopper).watch is not OptimizationStopper.watch:
        raise SettingError("the members of a set end together", expected="stopper=fixed", repair="stopper=fixed")


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

    @property
    def record(self) -> dict[str, Any]:
        """What `result.json` says of the starts."""
        return {**super().record, "restarts": [dict(vars(start)) for start in self.starts]}


def problems_of(plans: Sequence[Plan]) -> list[Problem]:
    """The problem of every start of every run; of the members of a set the best stimuli are kept."""
    found = []
    for plan in plans:
        keep: Keep = "best" if plan.problem.objective.set_size > 1 else plan.problem.keep
        starts = (plan.problem.stimulus, *plan.starts)
        found += [replace(plan.problem, stimulus=start, keep=keep) for start in starts]
    return found


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
    return [
        set_outcome(objective, own, of_run) if objective.set_size > 1 else _best(own, of_run)
        for objective, own, of_run in zip([plan.problem.objective for plan in plans], found, seeds, strict=True)
    ]


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
