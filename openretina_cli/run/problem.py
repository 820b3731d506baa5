"""From the settings of a run and a loaded retina to the problem that the loop solves, on the fast form of the model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from openretina_cli.config.settings import Settings
from openretina_cli.config.target import Option, build
from openretina_cli.constraint.base import Constraint
from openretina_cli.errors import SettingError
from openretina_cli.gradient.base import GradientStep
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.loop.run import Problem, apply_constraints
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

Window = tuple[int, int]
"""Response frames `[start, stop)`."""


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

    def seen(self, frames: int) -> tuple[int, int]:
        """The frames `[start, stop)` of a stimulus of so many that reach what is scored."""
        if self.window is None:
            return 0, frames
        (start, stop), facts = self.window, self.retina.facts
        return start * facts.response_stride, min((stop - 1) * facts.response_stride + facts.lag + 1, frames)


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
    return started(*prepared(settings, retina, device, probed))


def prepared(
    settings: Settings, retina: Retina, device: torch.device, probed: Probe | None = None
) -> tuple[Plan, Sequence[Tensor]]:
    """The plan of a run from its first start, and what `started` chooses its starts from; see `plan_run`."""
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
    first = parameters.candidates(constrain).to(device)
    keep = settings.keep
    problem = Problem(first[0], objective, optimizer, stopper, constraints, penalties, keep, gradient, parameters)
    plan = Plan(settings, retina, session, problem, window, neurons, _range_warnings([*rules, *prices]))
    further = further_starts(settings, offered, problem, constrain)
    return plan, (first, *further) if further or len(first) > 1 else ()


def started(plan: Plan, candidates: Sequence[Tensor]) -> Plan:
    """The plan with the best of the candidates for each of its starts; as it is where there is nothing to choose.

    Args:
        plan: the run.
        candidates: `(candidate, channel, time, height, width)` for each start, which other neurons may share.
    """
    if not candidates:
        return plan
    start, *others = (_best(plan, some) for some in candidates)
    return replace(plan, problem=replace(plan.problem, stimulus=start), starts=tuple(others))


CANDIDATES = 16
"""Candidate starts that are scored together."""


def _best(plan: Plan, candidates: Tensor) -> Tensor:
    """The candidate start with the largest objective less penalty; of a set, with the largest activation."""
    if len(candidates) == 1:
        return candidates[0]
    problem = accelerate([plan])[0].problem
    if problem.objective.set_size > 1:
        with torch.no_grad():
            scores = [member["activation"] for member in problem.objective.report_set(candidates)[1]]
    else:
        looks = [replace(problem, stimulus=start, stopper=OptimizationStopper(0)) for start in candidates]
        parts = (looks[place : place + CANDIDATES] for place in range(0, len(looks), CANDIDATES))
        scores = [found.history[0].total for part in parts for found in optimize_stack(part)]
    return candidates[max(range(len(scores)), key=scores.__getitem__)].clone()


class WindowedModel:
    """A fast form behind the interface of the full model.

    Frames and neurons outside its window and set are NaN, so that the score of an objective that reads one by mistake
    is not finite, instead of wrong.

    Args:
        fast: the fast form.
        neurons: the neurons it answers for.
        window: the response frames `[start, stop)` it answers for.
        shape: response frames and neurons of the full model.
    """

    def __init__(self, fast: nn.Module, neurons: Sequence[int], window: Window, shape: tuple[int, int]) -> None:
        self.fast = fast
        self.neurons = list(neurons)
        self.window = slice(*window)
        self.shape = shape
        places = torch.arange(shape[0] * shape[1]).view(shape)
        self._places = places[self.window][:, self.neurons].flatten()

    def __call__(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time, neuron)` to stimuli `(batch, channel, time, height, width)`; see the class."""
        del data_key  # a fast form is made for one session
        known: Tensor = self.fast(stimulus)
        if known.shape[1:] == self.shape:
            return known
        self._places = self._places.to(known.device)
        shape = (len(known), self.shape[0] * self.shape[1])
        response = torch.full(shape, math.nan, dtype=known.dtype, device=known.device)
        return response.index_copy(1, self._places, known.contiguous().view(len(known), -1)).view(-1, *self.shape)


def _windowed(plans: Sequence[Plan], frames: int, window: Window) -> WindowedModel | None:
    """One fast form that serves runs of one model, session, stimulus length and window."""
    first = plans[0]
    total = first.retina.facts.sessions[first.session]
    neurons = sorted({neuron for plan in plans for neuron in plan.neurons})
    fast = first.retina.fast_form(first.session, neurons, frames, window)
    if fast is None:
        return None
    return WindowedModel(fast, neurons, window, (first.retina.facts.response_frames(frames), total))


def _together(plan: Plan) -> tuple[int, ...]:
    """Grouping key of runs that share a fast form; see `Retina.shared`."""
    return plan.retina.shared(plan.session, plan.neurons)


def accelerate(plans: Sequence[Plan]) -> list[Plan]:
    """Move runs onto the fast form of their model; runs that have none, or call the model themselves, stay.

    Args:
        plans: the runs.
    """
    groups: dict[tuple[int, str, tuple[int, ...], int, Window], list[int]] = defaultdict(list)
    for index, plan in enumerate(plans):
        if plan.problem.objective.fits_fast_form:
            frames = plan.problem.stimulus.shape[1]
            window = plan.window or (0, plan.retina.facts.response_frames(frames))
            groups[id(plan.retina), plan.session, _together(plan), frames, window].append(index)
    moved = list(plans)
    for (_, _, _, frames, window), indices in groups.items():
        model = _windowed([plans[index] for index in indices], frames, window)
        if model is None:
            continue
        for index in indices:
            problem = plans[index].problem
            faster = replace(problem, objective=problem.objective.on(model))
            moved[index] = replace(plans[index], problem=faster)
    return moved


@torch.no_grad()
def full_responses(plans: Sequence[Plan], stimuli: Sequence[Tensor]) -> list[Tensor]:
    """What is drawn of the answer of the model to the stimulus of each run, in all frames.

    Args:
        plans: the runs.
        stimuli: a stimulus `(channel, time, height, width)` per run.

    Returns:
        A response `(time, trace)` per run, of the neurons that count in it, in its order; or of an inner unit, see
        `AbstractObjective.own_trace`.
    """
    groups: dict[tuple[int, str, tuple[int, ...], int], list[int]] = defaultdict(list)
    found: dict[int, Tensor] = {}
    for index, (plan, stimulus) in enumerate(zip(plans, stimuli, strict=True)):
        if plan.problem.objective.own_trace:
            found[index] = plan.problem.objective.respond(stimulus[None])[0]
            continue
        groups[id(plan.retina), plan.session, _together(plan), stimulus.shape[1]].append(index)
    for (_, session, _, frames), indices in groups.items():
        stack = torch.stack([stimuli[index] for index in indices])
        retina = plans[indices[0]].retina
        model = _windowed([plans[index] for index in indices], frames, (0, retina.facts.response_frames(frames)))
        responses = retina(stack, data_key=session) if model is None else model(stack)
        for index, response in zip(indices, responses, strict=True):
            found[index] = response[:, list(plans[index].neurons)]
    return [found[index] for index in range(len(plans))]
