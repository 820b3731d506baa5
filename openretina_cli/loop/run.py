"""One run on its way: what was measured, which stimulus is kept, and how it ends."""

from __future__ import annotations

import math

from torch import Tensor

from openretina_cli.errors import ObjectiveError
from openretina_cli.loop.problem import Outcome, Problem
from openretina_cli.loop.rules import flaws
from openretina_cli.stopper import Step

ZERO_GRADIENT = "zero gradient"


class Run:
    """The course of one run.

    Args:
        index: its number in the stack.
        problem: what it solves.
    """

    def __init__(self, index: int, problem: Problem) -> None:
        self.index = index
        self.problem = problem
        self.outcome: Outcome | None = None
        self._watch = problem.stopper.watch()
        self._history: list[Step] = []
        self._kept = 0
        self._kept_stimulus = problem.stimulus.detach()

    @property
    def iteration(self) -> int:
        """Number of the next measurement."""
        return len(self._history)

    @property
    def wants_gradient(self) -> bool:
        """Whether a step can follow the next measurement."""
        return self.iteration < self.problem.stopper.max_iterations

    def settle(self, step: Step, stimulus: Tensor) -> None:
        """Take note of a measurement, and end the run if it was the last.

        Args:
            step: what was measured.
            stimulus: of what, `(channel, time, height, width)`; nobody may write to it later.
        """
        last = not self.wants_gradient
        if not math.isfinite(step.total):
            self._finish("diverged", f"the objective became {step.objective} at iteration {step.iteration}")
            return
        self._record(step, stimulus)
        if (reason := self._watch(step)) is not None or last:
            self._finish(reason or "iterations")
        elif not math.isfinite(step.gradient_norm):
            self._finish("diverged", f"the gradient became {step.gradient_norm} at iteration {step.iteration}")
        elif step.gradient_norm == 0:
            self._finish(ZERO_GRADIENT)

    def _record(self, step: Step, stimulus: Tensor) -> None:
        """Hold on to a stimulus if it is the one to keep."""
        self._history.append(step)
        # The start has not been through the constraints, so it is kept only until a step was made.
        better = self._kept == 0 or step.total > self._history[self._kept].total
        if self.problem.keep == "last":
            self._kept, self._kept_stimulus = step.iteration, stimulus
        elif better:
            # a copy, since each of many runs may be best at another iteration, and a row keeps its whole stack alive
            self._kept, self._kept_stimulus = step.iteration, stimulus.clone()

    def _finish(self, reason: str, failure: str | None = None) -> None:
        problem = self.problem
        if failure is not None:
            failure = f"{failure} ({problem.objective!r})"
        if not self._history:
            raise ObjectiveError(str(failure), expected="a finite objective at the start")
        stimulus = self._kept_stimulus.clone()
        warnings = flaws(problem.constraints, stimulus)
        if reason == ZERO_GRADIENT:
            warnings.append("the objective does not depend on the stimulus here: its gradient is zero everywhere")
        self.outcome = Outcome(stimulus, tuple(self._history), self._kept, reason, failure, tuple(warnings))
