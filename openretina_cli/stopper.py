"""Stoppers decide, from the record of each step, whether to go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from openretina_cli.checks import require


@dataclass(frozen=True)
class Step:
    """What was measured of one stimulus on the way.

    Attributes:
        iteration: number of optimizer steps that led to the stimulus; 0 is the start.
        objective: its score.
        penalty: the sum of its penalties.
        gradient_norm: L2 norm of the gradient of objective - penalty there; NaN where none was needed.
        stimulus_norm: its L2 norm.
    """

    iteration: int
    objective: float
    penalty: float
    gradient_norm: float
    stimulus_norm: float

    @property
    def total(self) -> float:
        """What is maximised: the objective less the penalty."""
        return self.objective - self.penalty


Watch = Callable[[Step], "str | None"]
"""Looks at the steps of one run in order; returns the reason to stop, or None to go on."""


class OptimizationStopper:
    """Stops after a fixed number of iterations.

    Args:
        max_iterations: optimizer steps; 0 only measures the start.

    Raises:
        SettingError: the number is negative.
    """

    def __init__(self, max_iterations: int) -> None:
        require(max_iterations >= 0, "max_iterations", max_iterations, "0 or more")
        self.max_iterations = max_iterations

    def watch(self) -> Watch:
        """Begin to watch a run; each run has a watch of its own, so that a stopper keeps no state."""
        return lambda step: "iterations" if step.iteration >= self.max_iterations else None

    def __repr__(self) -> str:
        return f"{self.max_iterations} iterations"


class EarlyStopper(OptimizationStopper):
    """Stops on a plateau: when `patience` steps in a row brought no gain of more than `min_delta` over the best.

    Args:
        max_iterations: optimizer steps at most.
        patience: steps without a gain that are waited for.
        min_delta: what counts as a gain, in units of the objective.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(self, max_iterations: int, patience: int = 10, min_delta: float = 0.0) -> None:
        super().__init__(max_iterations)
        require(patience >= 1, "patience", patience, "1 or more")
        require(min_delta >= 0, "min_delta", min_delta, "0 or more")
        self.patience = patience
        self.min_delta = min_delta

    def watch(self) -> Watch:
        """Begin to watch a run."""
        out_of_iterations = super().watch()
        best, waited = -math.inf, 0

        def look(step: Step) -> str | None:
            nonlocal best, waited
            if step.total > best + self.min_delta:
                best, waited = step.total, 0
            else:
                waited += 1
            return "plateau" if waited >= self.patience else out_of_iterations(step)

        return look

    def __repr__(self) -> str:
        return (
            f"a plateau of {self.patience} iterations without a gain of {self.min_delta:g},"
            f" or {self.max_iterations} iterations"
        )
