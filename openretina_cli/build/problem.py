"""From the settings of a run and a loaded retina to the problem that the loop solves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from openretina_cli.build.user_classes import construct, find_class
from openretina_cli.config import options
from openretina_cli.config.settings import Settings, closest, read_option
from openretina_cli.config.values import NeuronChoice, spelt
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.probe import Probe, probe
from openretina_cli.models.twin import Retina
from openretina_cli.optimization.constraint import (
    ChangeNorm,
    ChangeNormJointlyClipRangeSeparately,
    ClipRange,
    Constraint,
    NormAndRange,
    TemporalGaussianLowPass,
)
from openretina_cli.optimization.descent import GradientDescent
from openretina_cli.optimization.loop import Keep, OptimizerInit, Problem, apply_constraints
from openretina_cli.optimization.objective import (
    AbstractObjective,
    ContrastiveNeuronObjective,
    DecreaseObjective,
    IncreaseObjective,
    SparseObjective,
    WeightedSumObjective,
)
from openretina_cli.optimization.penalty import Penalty, RangePenalty
from openretina_cli.optimization.reducer import MaxReducer, MeanReducer, ResponseReducer, SliceMeanReducer
from openretina_cli.optimization.start import random_stimulus, read_stimulus
from openretina_cli.optimization.stimulus_range import Limits
from openretina_cli.optimization.stopper import EarlyStopper, OptimizationStopper

T = TypeVar("T")

NO_LIMIT: tuple[Limits, ...] = ((None, None),)


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
    """

    settings: Settings
    retina: Retina
    session: str
    problem: Problem
    window: tuple[int, int] | None
    neurons: tuple[int, ...]


def choose_session(facts: ModelFacts, session: str | None) -> str:
    """The session that is meant; None means the checkpoint's first.

    Raises:
        SettingError: the model has no such session.
    """
    if session is None:
        return next(iter(facts.sessions))
    if session not in facts.sessions:
        raise SettingError(f"session={session} is not in {facts.name}", expected=closest(session, facts.sessions))
    return session


def choose_neurons(facts: ModelFacts, session: str, neuron: NeuronChoice | Sequence[int], name: str) -> list[int]:
    """The neurons that are meant.

    Raises:
        SettingError: the session has no such neuron.
    """
    count = facts.sessions[session]
    if isinstance(neuron, str):
        return list(range(count))
    chosen = [neuron] if isinstance(neuron, int) else list(neuron)
    for index in chosen:
        if not 0 <= index < count:
            raise SettingError(
                f"{name}={index} is not in session {session}, which has {count} neurons", expected=f"0 to {count - 1}"
            )
    return chosen


def cell_types(facts: ModelFacts, session: str) -> dict[int, list[int]]:
    """The neurons of each cell-type group of a session.

    Raises:
        SettingError: the checkpoint has no cell types for it.
    """
    if session not in facts.groups:
        raise SettingError(f"{facts.name} has no cell types for session {session}", repair="neurons by their numbers")
    types: dict[int, list[int]] = {}
    for neuron, group in enumerate(facts.groups[session]):
        types.setdefault(group, []).append(neuron)
    return dict(sorted(types.items()))


def neurons_of_type(facts: ModelFacts, session: str, group: int, name: str) -> list[int]:
    """The neurons of one cell-type group.

    Raises:
        SettingError: the session has no such group.
    """
    types = cell_types(facts, session)
    if group not in types:
        known = ", ".join(f"{number} ({facts.group_names.get(number, 'unnamed')})" for number in types)
        raise SettingError(f"{name}={group} is not in session {session}", expected=f"one of {known}")
    return types[group]


def _user_made(option: options.UserClass, base: type[T], setting: str, offered: Mapping[str, Any]) -> T:
    return construct(find_class(option.target, base, f"{setting}._target_"), option.arguments, offered, setting)


def build_reducer(option: options.Option) -> ResponseReducer:
    """The reducer that is asked for."""
    match option:
        case options.SliceMean(start=start, length=length):
            return SliceMeanReducer(0, start, length)
        case options.Max(start=start, length=length):
            return MaxReducer(0, start, length)
        case options.UserClass():
            return _user_made(option, ResponseReducer, "reducer", {})  # type: ignore[type-abstract]  # a subclass
    return MeanReducer()


@dataclass(frozen=True)
class ObjectiveBuilder:
    """Builds objectives on one session of one model, with one window."""

    retina: Retina
    session: str
    reducer: ResponseReducer

    def build(self, option: options.Option, setting: str = "objective") -> AbstractObjective:
        """The objective that is asked for.

        Raises:
            SettingError: it names a neuron that is not there, or arguments that do not fit.
        """
        match option:
            case options.Increase(kind=kind):
                cls = DecreaseObjective if kind == "mdi" else IncreaseObjective
                return cls(self.retina, self._chosen(option, setting), self.session, self.reducer)
            case options.Sparse():
                return SparseObjective(self.retina, self.session)
            case options.Discriminative(temperature=temperature):
                on, *off = self._clusters(option, setting)
                return ContrastiveNeuronObjective(self.retina, on, off, self.session, self.reducer, temperature)
            case options.WeightedSum(terms=terms):
                return self._sum(terms, f"{setting}.terms")
            case options.UserClass():
                return self._custom(option, setting)
        raise TypeError(f"no objective for {type(option).__name__}")

    def _chosen(self, option: options.Increase, setting: str) -> list[int]:
        prefix = "" if setting == "objective" else f"{setting}."
        if option.group is not None:
            return neurons_of_type(self.retina.facts, self.session, option.group, f"{prefix}group")
        return self._neurons(option.neuron, f"{prefix}neuron")

    def _clusters(self, option: options.Discriminative, setting: str) -> list[list[int]]:
        """The cluster that is to respond, then each that is not."""
        if option.off is not None:
            on = self._neurons(option.on, f"{setting}.on")
            return [on, *(self._neurons(cluster, f"{setting}.off") for cluster in option.off)]
        facts = self.retina.facts
        chosen = [neurons_of_type(facts, self.session, group, f"{setting}.on") for group in option.on]
        others = [cells for group, cells in cell_types(facts, self.session).items() if group not in option.on]
        if not others:
            raise SettingError(
                f"{setting}.on={list(option.on)} leaves no other cell type", repair=f"{setting}.off=[[4,5]]"
            )
        return [[neuron for cells in chosen for neuron in cells], *others]

    def _neurons(self, neuron: NeuronChoice | Sequence[int], name: str) -> list[int]:
        return choose_neurons(self.retina.facts, self.session, neuron, name)

    def _sum(self, terms: Mapping[str, Any], setting: str) -> WeightedSumObjective:
        weighted = []
        for name, term in terms.items():
            given = dict(term) if isinstance(term, Mapping) else {}
            weight = given.pop("weight", None)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)):
                raise SettingError(f"{setting}.{name}.weight={spelt(weight)}", expected="a number")
            option = read_option("objective", given, f"{setting}.{name}.")
            weighted.append((float(weight), self.build(option, f"{setting}.{name}")))
        if not weighted:
            raise SettingError(f"{setting} is empty", expected="one or more objectives with a weight")
        return WeightedSumObjective(weighted)

    def _custom(self, option: options.UserClass, setting: str) -> AbstractObjective:
        offered = {"model": self.retina, "data_key": self.session, "response_reducer": self.reducer}
        objective = _user_made(option, AbstractObjective, setting, offered)
        base = AbstractObjective
        if type(objective).forward is base.forward and type(objective).score is base.score:
            raise SettingError(f"{setting}: {option.target} has neither score(response) nor forward(stimulus)")
        return objective


def build_constraint(name: str, option: options.Option) -> Constraint:
    """The constraint that is asked for."""
    match option:
        case options.NormThenRange(norm=norm, range=limits):
            return ChangeNormJointlyClipRangeSeparately(limits or NO_LIMIT, norm)
        case options.NormRange(norm=norm, range=limits, mode=mode):
            return NormAndRange(limits or NO_LIMIT, norm, mode)  # type: ignore[arg-type]  # checked in options
        case options.Range(range=limits):
            return ClipRange(limits or NO_LIMIT)
        case options.Norm(norm=norm, mode=mode):
            return ChangeNorm(norm, mode)  # type: ignore[arg-type]  # checked in options
        case options.TemporalLowPass(sigma=sigma, kernel_size=kernel_size, padding=padding):
            return TemporalGaussianLowPass(sigma, kernel_size, padding)  # type: ignore[arg-type]  # checked in options
        case options.UserClass():
            return _user_made(option, Constraint, f"constraint.{name}", {})  # type: ignore[type-abstract]  # a subclass
    raise TypeError(f"no constraint for {type(option).__name__}")


def build_penalty(name: str, option: options.Option) -> Penalty:
    """The penalty that is asked for."""
    match option:
        case options.RangePenaltyOption(range=limits, norm=norm, factor=factor):
            return RangePenalty(limits or NO_LIMIT, norm, factor)
        case options.UserClass():
            return _user_made(option, Penalty, f"penalty.{name}", {})  # type: ignore[type-abstract]  # a subclass
    raise TypeError(f"no penalty for {type(option).__name__}")


def build_stopper(option: options.Option) -> OptimizationStopper:
    """The stopper that is asked for."""
    match option:
        case options.Early(max_iterations=limit, patience=patience, min_delta=min_delta):
            return EarlyStopper(limit, patience, min_delta)
        case options.Fixed(max_iterations=limit):
            return OptimizationStopper(limit)
        case options.UserClass():
            return _user_made(option, OptimizationStopper, "stopper", {})
    raise TypeError(f"no stopper for {type(option).__name__}")


def _only_a_sound_rate(arguments: Mapping[str, Any]) -> bool:
    rate = arguments.get("lr")
    return set(arguments) == {"lr"} and isinstance(rate, float) and 0 <= rate <= torch.finfo(torch.float32).max


def build_optimizer(option: options.Optimizer) -> OptimizerInit:
    """The optimizer that is asked for, as a function of the tensors it changes.

    Raises:
        SettingError: there is no such class, its arguments do not fit, or it cannot work from gradients alone.
    """
    cls = find_class(option.target, torch.optim.Optimizer, "optimizer._target_")
    if cls is torch.optim.SGD and _only_a_sound_rate(option.arguments):
        return partial(GradientDescent, **option.arguments)
    if inspect.signature(cls.step).parameters["closure"].default is inspect.Parameter.empty:
        raise SettingError(f"optimizer._target_={option.target} measures the objective itself", repair="optimizer=sgd")
    trial = torch.zeros(1, requires_grad=True)
    trial.grad = torch.zeros(1)
    try:
        cls([trial], **option.arguments).step()
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{name}={spelt(value)}" for name, value in option.arguments.items())
        raise SettingError(f"optimizer: {option.target} does not take {given}: {error}") from error
    return partial(cls, **option.arguments)


def build_start(option: options.Noise, seed: int, facts: ModelFacts, constraints: Sequence[Constraint]) -> Tensor:
    """The start `(channel, time, height, width)` on the CPU: noise under the constraints, or a saved stimulus as it is.

    Raises:
        SettingError: a file cannot be used, or a constraint does not fit the model.
    """
    field = (len(facts.channels), option.frames, facts.height, facts.width)
    if option.file is not None:
        return read_stimulus(Path(option.file).expanduser(), field)
    return apply_constraints(random_stimulus(field, seed, option.mean, option.std), constraints)


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
    facts = retina.facts
    session = choose_session(facts, settings.session)
    constraints = [build_constraint(name, option) for name, option in settings.constraint.items()]
    builder = ObjectiveBuilder(retina, session, build_reducer(settings.reducer))
    objective = builder.build(settings.objective)
    optimizer, stopper = build_optimizer(settings.optimizer), build_stopper(settings.stopper)
    penalties = [build_penalty(name, option) for name, option in settings.penalty.items()]
    if probed is None:
        probed = probe(retina, session, settings.stimulus.frames, device)
    neurons = objective.neurons() or tuple(range(facts.sessions[session]))
    probed.check(session, neurons)
    window = objective.window(probed.response_frames)
    start = build_start(settings.stimulus, settings.seed, facts, constraints).to(device)
    keep: Keep = "best" if settings.keep == "best" else "last"
    problem = Problem(start, objective, optimizer, stopper, constraints, penalties, keep)
    return Plan(settings, retina, session, problem, window, neurons)
