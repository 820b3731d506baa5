"""The loop: score, differentiate, step, constrain, record, ask the stopper; for one run or for a stack of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from openretina_cli.errors import ObjectiveError, OpenRetinaError, SettingError
from openretina_cli.optimization.constraint import Constraint
from openretina_cli.optimization.objective import AbstractObjective
from openretina_cli.optimization.penalty import Penalty
from openretina_cli.optimization.stimulus_range import norms
from openretina_cli.optimization.stopper import OptimizationStopper, Step

T = TypeVar("T")

Keep = Literal["last", "best"]
ZERO_GRADIENT = "zero gradient"
OptimizerInit = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Problem:
    """One run: from which stimulus, what is maximised, under which rules.

    Attributes:
        stimulus: the start `(channel, time, height, width)`; it is copied.
        objective: what is maximised.
        optimizer: builds a `torch.optim` optimizer over a list of one tensor.
        stopper: when to stop.
        constraints: applied after each step, in order.
        penalties: subtracted from the objective.
        keep: whether the last stimulus is returned, or the one of the best objective less penalty.
    """

    stimulus: Tensor
    objective: AbstractObjective
    optimizer: OptimizerInit
    stopper: OptimizationStopper
    constraints: Sequence[Constraint] = ()
    penalties: Sequence[Penalty] = ()
    keep: Keep = "last"


@dataclass(frozen=True)
class Outcome:
    """What came out of one run.

    Attributes:
        stimulus: `(channel, time, height, width)`, after its constraints.
        history: one step per stimulus that was measured, the start first.
        kept: iteration of the stimulus that is returned.
        stop_reason: why the run ended.
        failure: what went wrong, if the run diverged; the stimulus is then the last good one.
        warnings: what the user should know.
    """

    stimulus: Tensor
    history: tuple[Step, ...]
    kept: int
    stop_reason: str
    failure: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def objective(self) -> float:
        """The objective of the stimulus that is returned."""
        return self.history[self.kept].objective

    @property
    def best(self) -> float:
        """The largest finite objective on the way."""
        return max(step.objective for step in self.history)


def apply_constraints(stimulus: Tensor, constraints: Sequence[Constraint]) -> Tensor:
    """Apply constraints, in order, to one stimulus `(channel, time, height, width)`."""
    batch = stimulus.detach()[None]
    for constraint in constraints:
        batch = constraint.process(batch)
    return batch[0]


class _Run:
    """The moving parts of one run."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.stimulus = problem.stimulus.detach().clone().requires_grad_(True)
        self.optimizer = problem.optimizer([self.stimulus])
        self.watch = problem.stopper.watch()
        self.history: list[Step] = []
        self.kept = 0
        self.kept_stimulus = self.stimulus.detach().clone()
        self.outcome: Outcome | None = None

    @property
    def iteration(self) -> int:
        return len(self.history)

    @property
    def wants_gradient(self) -> bool:
        return self.iteration < self.problem.stopper.max_iterations

    def penalty(self) -> Tensor:
        """The summed penalties of the stimulus, a scalar."""
        total = self.stimulus.new_zeros(())
        for penalty in self.problem.penalties:
            total = total + penalty.forward(self.stimulus[None]).sum()
        return total

    def record(self, step: Step) -> None:
        """Take note of a finite measurement, and hold on to its stimulus if it is the one to keep."""
        self.history.append(step)
        # The start has not been through the constraints, so it is kept only until a step was made.
        better = self.kept == 0 or step.total > self.history[self.kept].total
        if self.problem.keep == "last" or better:
            self.kept = step.iteration
            self.kept_stimulus = self.stimulus.detach().clone()

    def advance(self, gradient: Tensor) -> None:
        """Make one optimizer step uphill and constrain the result."""
        self.stimulus.grad = -gradient
        self.optimizer.step()
        self.stimulus.data = apply_constraints(self.stimulus, self.problem.constraints)

    def finish(self, reason: str, failure: str | None = None) -> None:
        """End the run."""
        if failure is not None:
            failure = f"{failure} ({self.problem.objective!r})"
        if not self.history:
            raise ObjectiveError(str(failure), expected="a finite objective at the start")
        checks = [constraint.check(self.kept_stimulus[None]) for constraint in self.problem.constraints]
        if reason == ZERO_GRADIENT:
            checks.append("the objective does not depend on the stimulus here: its gradient is zero everywhere")
        warnings = tuple(check for check in checks if check)
        self.outcome = Outcome(self.kept_stimulus, tuple(self.history), self.kept, reason, failure, warnings)


def _one_number(score: object, objective: AbstractObjective) -> Tensor:
    """Check what a user's objective returned."""
    if not isinstance(score, Tensor) or score.numel() != 1:
        returned = f"shape {tuple(score.shape)}" if isinstance(score, Tensor) else f"a {type(score).__name__}"
        raise ObjectiveError(f"{objective!r} returned {returned}", expected="a tensor with one number")
    return score.reshape(())


def _score_alone(run: _Run) -> Tensor:
    objective = run.problem.objective
    return _one_number(objective.forward(run.stimulus[None]), objective)


def _score_together(runs: Sequence[_Run]) -> list[Tensor]:
    """Score runs that ask the same session of the same model, with one call of the model."""
    responses = runs[0].problem.objective.respond(torch.stack([run.stimulus for run in runs]))
    objectives = [run.problem.objective for run in runs]
    return [_one_number(own.score(response), own) for own, response in zip(objectives, responses, strict=True)]


def _scores(runs: Sequence[_Run]) -> list[Tensor]:
    groups: dict[tuple[int, str | None], list[_Run]] = defaultdict(list)
    scores: dict[int, Tensor] = {}
    for run in runs:
        objective = run.problem.objective
        if objective.scores_responses:
            groups[id(objective.model), objective.data_key].append(run)
        else:
            scores[id(run)] = _score_alone(run)
    for group in groups.values():
        scores.update(zip(map(id, group), _score_together(group), strict=True))
    return [scores[id(run)] for run in runs]


def _guarded_scores(runs: Sequence[_Run]) -> list[Tensor]:
    """Score the runs.

    Raises:
        ObjectiveError: an objective, or the model in it, raised.
    """
    try:
        return _scores(runs)
    except OpenRetinaError:
        raise
    except Exception as error:  # whatever a user's objective raises
        names = "; ".join(dict.fromkeys(repr(run.problem.objective) for run in runs))
        raise ObjectiveError(f"{names} failed: {type(error).__name__}: {error}") from error


def _gradients(runs: Sequence[_Run], totals: Sequence[Tensor]) -> list[Tensor]:
    stimuli = [run.stimulus for run in runs]
    total = torch.stack(list(totals)).sum()
    if not total.requires_grad:
        return [torch.zeros_like(stimulus) for stimulus in stimuli]
    found = torch.autograd.grad(total, stimuli, allow_unused=True)
    return [torch.zeros_like(s) if g is None else g for s, g in zip(stimuli, found, strict=True)]


def _measure(runs: Sequence[_Run]) -> tuple[list[Step], list[Tensor | None]]:
    """Measure the runs' stimuli; without gradients where no run needs one."""
    with torch.set_grad_enabled(any(run.wants_gradient for run in runs)):
        scores = _guarded_scores(runs)
        penalties = [run.penalty() for run in runs]
        totals = [score - penalty for score, penalty in zip(scores, penalties, strict=True)]
    gradients: list[Tensor | None] = [None] * len(runs)
    if any(run.wants_gradient for run in runs):
        gradients = [*_gradients(runs, totals)]
    gradient_norms = [s.new_tensor(math.nan) if g is None else g.norm() for s, g in zip(scores, gradients, strict=True)]
    stimulus_norms = [norms(run.stimulus.detach()[None]).reshape(()) for run in runs]
    columns = [torch.stack(column).detach() for column in (scores, penalties, gradient_norms, stimulus_norms)]
    # one transfer for all numbers of all runs
    rows = torch.stack([column.to(torch.float32) for column in columns], dim=1).tolist()
    return [Step(run.iteration, *row) for run, row in zip(runs, rows, strict=True)], gradients


def _settle(run: _Run, step: Step, gradient: Tensor | None) -> None:
    """Record a step, then end the run or advance it."""
    if not math.isfinite(step.total):
        run.finish("diverged", f"the objective became {step.objective} at iteration {step.iteration}")
        return
    run.record(step)
    if (reason := run.watch(step)) is not None or gradient is None:
        run.finish(reason or "iterations")
    elif not math.isfinite(step.gradient_norm):
        run.finish("diverged", f"the gradient became {step.gradient_norm} at iteration {step.iteration}")
    elif step.gradient_norm == 0:
        run.finish(ZERO_GRADIENT)
    else:
        run.advance(gradient)


def optimize_stack(problems: Sequence[Problem], on_step: Callable[[int, Step], None] | None = None) -> list[Outcome]:
    """Solve many problems as one stack: one call of the model per iteration for all that share it.

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
    runs = [_Run(problem) for problem in problems]
    active = list(enumerate(runs))
    while active:
        steps, gradients = _measure([run for _, run in active])
        for (index, run), step, gradient in zip(active, steps, gradients, strict=True):
            _settle(run, step, gradient)
            if on_step is not None:
                on_step(index, step)
        active = [(index, run) for index, run in active if run.outcome is None]
    return [run.outcome for run in runs if run.outcome is not None]


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
