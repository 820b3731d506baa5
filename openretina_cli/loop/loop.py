"""The loop: score, differentiate, step, constrain, record, ask the stopper; for one run or for a stack of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from openretina_cli.constraint.base import Constraint
from openretina_cli.errors import SettingError
from openretina_cli.loop.bundle import Bundle, bundled
from openretina_cli.loop.evaluation import evaluated
from openretina_cli.loop.measure import Measure
from openretina_cli.loop.run import ZERO_GRADIENT, Keep, Outcome, Problem, Run, apply_constraints
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.optimizer import OptimizerInit
from openretina_cli.penalty import Penalty
from openretina_cli.stopper import OptimizationStopper, Step

__all__ = [
    "ZERO_GRADIENT",
    "Keep",
    "OptimizerInit",
    "Outcome",
    "Problem",
    "apply_constraints",
    "optimize_stack",
    "optimize_stimulus",
]

T = TypeVar("T")


def optimize_stack(problems: Sequence[Problem], on_step: Callable[[int, Step], None] | None = None) -> list[Outcome]:
    """Solve many problems as one stack: one call of the model per iteration for all that share it.

    Modules are evaluated in eval mode and frozen meanwhile; training flags, buffers and `requires_grad` are put back.
    Rows never touch: a run alone and in a stack give the same stimulus. A finished run leaves the stack. The stimuli
    and models must be on one device.

    Args:
        problems: the runs.
        on_step: called with the index of the problem and each step that was measured.

    Returns:
        The outcomes, in the order of the problems.

    Raises:
        ObjectiveError: an objective raised, or was not finite at the start.
    """
    modules = [module for problem in problems for module in problem.objective.modules()]
    with evaluated(modules):
        return _optimized([Run(index, problem) for index, problem in enumerate(problems)], on_step)


def _optimized(runs: Sequence[Run], on_step: Callable[[int, Step], None] | None) -> list[Outcome]:
    bundles = bundled(runs)
    while bundles:
        measure = Measure(bundles)
        while not _iterated(bundles, measure, on_step):
            pass
        bundles = [bundle for bundle in bundles if bundle.runs]
    return [run.outcome for run in runs if run.outcome is not None]


def _iterated(bundles: Sequence[Bundle], measure: Measure, on_step: Callable[[int, Step], None] | None) -> bool:
    """Measure all runs and make a step with those that go on; returns whether runs have left their bundles."""
    steps, descents = measure()
    going = [(run, step) for run, step in zip(measure.runs, steps, strict=True) if not run.ended]
    for run, step in sorted(going, key=lambda measured: measured[0].index):
        run.settle(step)
        if on_step is not None:
            on_step(run.index, step)
    for bundle in bundles:
        bundle.record()
    if not descents:  # no run can make another step
        descents = [bundle.stimuli for bundle in bundles]
    left = [bundle.advance(some, measure.by_rows) for bundle, some in zip(bundles, descents, strict=True)]
    return any(left)


def _listed(value: Sequence[T] | T | None, kind: type[T], name: str) -> list[T]:
    """One rule, several or none, as a list; what is no such rule is refused, since leaving it out would go unseen."""
    rules: list[Any] = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
    for rule in rules:
        if not isinstance(rule, kind):
            raise SettingError(f"{name} holds a {type(rule).__name__}", expected=f"a {kind.__name__}")
    return rules


def optimize_stimulus(
    stimulus: Tensor,
    optimizer_init_fn: OptimizerInit,
    objective_object: AbstractObjective,
    optimization_stopper: OptimizationStopper,
    stimulus_regularization_loss: Sequence[Penalty] | Penalty | None = None,
    stimulus_postprocessor: Sequence[Constraint] | Constraint | None = None,
) -> list[Outcome]:
    """Optimise stimuli in place, as the example notebook does.

    The values of `stimulus` are replaced by the last ones found; it still requires a gradient if it did before, so that
    it can be used again.

    Args:
        stimulus: `(batch, channel, time, height, width)`.
        optimizer_init_fn: builds a `torch.optim` optimizer over a list of one tensor.
        objective_object: what is maximised.
        optimization_stopper: when to stop.
        stimulus_regularization_loss: penalties.
        stimulus_postprocessor: constraints, applied in order after each step.

    Returns:
        An outcome per stimulus.

    Raises:
        ObjectiveError: the objective raised, or was not finite at the start.
        SettingError: a penalty is no `Penalty`, or a constraint no `Constraint`.
    """
    penalties = _listed(stimulus_regularization_loss, Penalty, "stimulus_regularization_loss")  # type: ignore[type-abstract]  # the base
    constraints = _listed(stimulus_postprocessor, Constraint, "stimulus_postprocessor")  # type: ignore[type-abstract]  # the base
    outcomes = optimize_stack(
        [
            Problem(row, objective_object, optimizer_init_fn, optimization_stopper, constraints, penalties)
            for row in stimulus
        ]
    )
    stimulus.data.copy_(torch.stack([outcome.stimulus for outcome in outcomes]))
    return outcomes
