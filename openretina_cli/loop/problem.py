"""What one run is to solve, and what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from openretina_cli.constraint.base import Constraint
from openretina_cli.gradient.base import GradientStep
from openretina_cli.loop.rules import constrained
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.optimizer import OptimizerInit
from openretina_cli.penalty import Penalty
from openretina_cli.stimulus.base import PIXELS, Parameters
from openretina_cli.stopper import OptimizationStopper, Step

Keep = Literal["last", "best"]


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


def apply_constraints(stimulus: Tensor, constraints: Sequence[Constraint]) -> Tensor:
    """Apply constraints, in order, to one stimulus `(channel, time, height, width)`."""
    return constrained(constraints, stimulus.detach()[None])[0]
