"""One run: what it is to solve, its course, and what came out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from openretina_cli.constraint.base import Constraint, constrained, flaws
from openretina_cli.errors import ObjectiveError
from openretina_cli.gradient.base import GradientStep
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.optimizer import OptimizerInit
from openretina_cli.penalty import Penalty
from openretina_cli.stimulus.base import PIXELS, Parameters
from openretina_cli.stopper import OptimizationStopper, Step

Keep = Literal["last", "best"]
ZERO_GRADIENT = "zero gradient"


@dataclass(frozen=True)
class Problem:
    """One run: from which stimulus, what is maximised, under which rules.

    Attributes:
        stimulus: the start `(channel, time, height, width)`; it is copied.
        objective: what is maximised.
        optimizer: builds an optimizer, such as of `torch.optim`, over a list of one tensor.
        stopper: when to stop.
        constraints: applied after each step, in order.
        penalties: subtracted from the objective.
        keep: whether the last stimulus is returned, or the one of the best objective less penalty.
        gradient: applied to the gradient with respect to the stimulus before each step, in order.
        parameters: what the optimizer changes, and how a stimulus is made of it; the pixels by default.
    """

    stimulus: Tensor
    objective: AbstractObjective
    optimizer: OptimizerInit
    stopper: OptimizationStopper
    constraints: Sequence[Constraint] = ()
    penalties: Sequence[Penalty] = ()
    keep: Keep = "last"
    gradient: Sequence[GradientStep] = ()
    parameters: Parameters = PIXELS


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

    @property
    def record(self) -> dict[str, Any]:
        """What `result.json` says of further stimuli of the run, its restarts or its set; None for none."""
        return {"restarts": None, "set": None}

    @property
    def members(self) -> tuple[Tensor, ...]:
        """The stimuli of a set, each `(channel, time, height, width)`; none where the run leaves one."""
        return ()


def apply_constraints(stimulus: Tensor, constraints: Sequence[Constraint]) -> Tensor:
    """Apply constraints, in order, to one stimulus `(channel, time, height, width)`."""
    return constrained(constraints, stimulus.detach()[None])[0]


class Run:
    """The course of one run.

    Args:
        index: its number in the stack.
        problem: what it solves.

    Attributes:
        kept: iteration of the stimulus to return; the start has not been through the constraints, and is kept only
            until a step was made.
        outcome: what came out of it, once it is closed.
    """

    def __init__(self, index: int, problem: Problem) -> None:
        self.index = index
        self.problem = problem
        self.kept = 0
        self.outcome: Outcome | None = None
        self._ending: tuple[str, str | None] | None = None
        self._watch = problem.stopper.watch()
        self._history: list[Step] = []

    @property
    def iteration(self) -> int:
        """Number of the next measurement."""
        return len(self._history)

    @property
    def ended(self) -> bool:
        """Whether the last measurement was the last one."""
        return self._ending is not None

    @property
    def diverged(self) -> bool:
        """Whether it ended because something is not finite."""
        return self._ending is not None and self._ending[1] is not None

    @property
    def wants_gradient(self) -> bool:
        """Whether a step can follow the next measurement."""
        return not self.ended and self.iteration < self.problem.stopper.max_iterations

    def settle(self, step: Step) -> None:
        """Take note of a measurement, and whether it was the last.

        Raises:
            ObjectiveError: the objective is not finite at the start.
        """
        last = not self.wants_gradient
        if not math.isfinite(step.total):
            self._end("diverged", f"the objective became {step.objective} at iteration {step.iteration}")
            return
        self._history.append(step)
        if self.problem.keep == "last" or self.kept == 0 or step.total > self._history[self.kept].total:
            self.kept = step.iteration
        if (reason := self._watch(step)) is not None or last:
            self._end(reason or "iterations")
        elif not math.isfinite(step.gradient_norm):
            self._end("diverged", f"the gradient became {step.gradient_norm} at iteration {step.iteration}")
        elif step.gradient_norm == 0:
            self._end(ZERO_GRADIENT)

    def _end(self, reason: str, failure: str | None = None) -> None:
        if failure is not None:
            failure = f"{failure} ({self.problem.objective!r})"
        if not self._history:
            raise ObjectiveError(str(failure), expected="a finite objective at the start")
        self._ending = reason, failure

    def close(self, stimulus: Tensor) -> None:
        """Make the outcome of a run that has ended.

        Args:
            stimulus: the one that it kept, `(channel, time, height, width)`.
        """
        assert self._ending is not None  # noqa: S101  # for the type checker
        reason, failure = self._ending
        warnings = flaws(self.problem.constraints, stimulus)
        if reason == ZERO_GRADIENT:
            warnings.append("the objective does not depend on the stimulus here: its gradient is zero everywhere")
        # a copy, since a row keeps its whole stack alive
        self.outcome = Outcome(stimulus.clone(), tuple(self._history), self.kept, reason, failure, tuple(warnings))
