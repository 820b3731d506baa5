"""From the settings of a run and a loaded retina to the problem that the loop solves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from openretina_cli.config.settings import Settings
from openretina_cli.config.target import Option, build
from openretina_cli.constraint.base import Constraint
from openretina_cli.errors import SettingError
from openretina_cli.gradient.base import GradientStep
from openretina_cli.loop.problem import Problem, apply_constraints
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.probe import Probe, probe
from openretina_cli.models.retina import Retina
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.objective.cells import choose_session
from openretina_cli.penalty import Penalty
from openretina_cli.reducer import ResponseReducer
from openretina_cli.run.restarts import further_starts
from openretina_cli.run.steps import build_steps
from openretina_cli.stimulus.base import Parameters
from openretina_cli.stopper import OptimizationStopper


@dataclass(frozen=True)
class Plan:
    """One run, ready to be solved.

    Attributes:
        settings: what was asked for.
        retina: the model.
        session: the session that is asked.
        problem: what the loop solves.
        window: response frames `[start, stop)` that count, where there is a window.
        neurons: the neurons that count; all of the session where the objective names none.
        warnings: what the user should know of the settings.
        starts: further starts of the same problem, of which the best is kept; see `restarts`.
    """

    settings: Settings
    retina: Retina
    session: str
    problem: Problem
    window: tuple[int, int] | None
    neurons: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    starts: tuple[torch.Tensor, ...] = ()


def build_objective(
    option: Option, retina: Retina, session: str, reducer: ResponseReducer, seed: int
) -> AbstractObjective:
    """An objective on one session of a model, with one window; it draws random numbers from the run's seed.

    Raises:
        SettingError: a setting of it does not fit, or it scores nothing.
        RunError: a user's class could not be imported, or raised.
    """
    offered = {"model": retina, "data_key": session, "response_reducer": reducer, "facts": retina.facts, "seed": seed}
    objective = build(option, AbstractObjective, offered)
    base = AbstractObjective
    if type(objective).forward is base.forward and type(objective).score is base.score:
        raise SettingError(f"objective: {option.target} has neither score(response) nor forward(stimulus)")
    return objective


def build_reducer(settings: Settings) -> ResponseReducer:
    """The reducer of a run."""
    return build(settings.reducer, ResponseReducer, {})  # type: ignore[type-abstract]  # a subclass


RANGE = "range"
"""The setting of constraints and penalties that holds a stimulus range; null means the range in the model's facts."""
UNLIMITED = "no stimulus range is known, so values have no limit; model.stimulus_range=[[-3,3]] would set one"


def _ranged(option: Option, facts: ModelFacts) -> Option:
    """The option with the range of the model's facts where its own range is null."""
    if option.arguments.get(RANGE, ()) is not None or facts.stimulus_range is None:
        return option
    known = [list(pair) for pair in facts.stimulus_range]
    return replace(option, arguments={**option.arguments, RANGE: known})


def _range_warnings(options: Iterable[Option]) -> tuple[str, ...]:
    """Say that a range is null although it has been looked for in the model's facts."""
    return (UNLIMITED,) if any(option.arguments.get(RANGE, ()) is None for option in options) else ()


def plan_run(settings: Settings, retina: Retina, device: torch.device, probed: Probe | None = None) -> Plan:
    """Build everything that one run needs.

    Args:
        settings: what is asked for.
        retina: the model, on `device`.
        device: where the model is.
        probed: what a trial of the model showed; None tries the model now.

    Raises:
        SettingError: a setting does not fit the model.
        ModelError: the model cannot be used.
    """
    session = choose_session(retina.facts, settings.session)
    offered: dict[str, Any] = {"facts": retina.facts, "seed": settings.seed}
    parameters = build(settings.stimulus, Parameters, offered)
    stopper = build(settings.stopper, OptimizationStopper, offered)
    rules = [_ranged(option, retina.facts) for option in settings.constraint.values()]
    prices = [_ranged(option, retina.facts) for option in settings.penalty.values()]
    constraints = [build(option, Constraint, offered) for option in rules]  # type: ignore[type-abstract]  # subclasses
    gradient = [build(option, GradientStep, offered) for option in settings.gradient.values()]  # type: ignore[type-abstract]  # subclasses
    penalties = [build(option, Penalty, offered) for option in prices]  # type: ignore[type-abstract]  # subclasses
    objective = build_objective(settings.objective, retina, session, build_reducer(settings), settings.seed)
    optimizer = build_steps(settings.optimizer)
    if probed is None:
        probed = probe(retina, session, settings.frames, device)
    neurons = objective.neurons() or tuple(range(retina.facts.sessions[session]))
    probed.check(session, neurons)
    window = objective.window(probed.response_frames)
    constrain = partial(apply_constraints, constraints=constraints)
    start = parameters.initial(constrain).to(device)
    problem = Problem(start, objective, optimizer, stopper, constraints, penalties, settings.keep, gradient, parameters)
    starts = further_starts(settings, offered, problem, constrain)
    warnings = _range_warnings([*rules, *prices])
    return Plan(settings, retina, session, problem, window, neurons, warnings, starts)
