"""Constraints (postprocessors) are hard: they are applied to the stimulus after every step, in the order listed.

Those of a run are applied together: in order, around the values that one of them holds, and reconciled with what the
parameters can make.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from openretina_cli.limits import Limits, bounds, clip_factor, norms, range_text

if TYPE_CHECKING:
    from openretina_cli.stimulus.base import Parameters

NORM_TOLERANCE = 0.01
"""A norm that ends further than 1 % from the one asked for is reported."""


class Constraint(ABC):
    """A rule that maps stimuli to allowed ones, each stimulus of a batch alone; it never changes its input.

    Attributes:
        pure: whether the result depends on the stimulus and on the attributes of the constraint alone, so that runs
            with equal constraints can share one call. A constraint that keeps a state between calls is not pure.
    """

    pure: ClassVar[bool] = False

    @abstractmethod
    def process(self, x: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to allowed ones of the same shape."""

    def follow(self, x: Tensor, before: Tensor) -> Tensor:
        """Map stimuli to which a step led from allowed ones, `before`; as `process` does, unless overridden.

        A rule that takes a part of a stimulus away, such as a soft mask, is to take it from what the step added only.
        """
        del before
        return self.process(x)

    def restore(self, x: Tensor) -> Tensor:
        """Map stimuli that were allowed before a parameterisation changed them a little to allowed ones near by.

        It may be called many times, so that a rule that changes what is allowed already, such as a low-pass, leaves
        them as they are. So does the base.
        """
        return x

    def factor(self, x: Tensor) -> Tensor | None:
        """The factor in (0, 1] per stimulus, shaped as `norms`, that brings it under this rule; None where none does.

        It is asked of rules that hold whatever else is missed, such as the range of a display.
        """
        del x
        return None

    def held(self, x: Tensor) -> Tensor | None:
        """Which values of `(batch, channel, time, height, width)` this rule alone decides, as a mask that broadcasts.

        Other rules see zeros there, so that they count nothing of it; None, as of the base, means no values.
        """
        del x
        return None

    def check(self, x: Tensor) -> str | None:
        """Say what a finished stimulus `(1, channel, time, height, width)` lacks, or None."""
        del x
        return None


RANGE_TOLERANCE = 1e-4
"""A value that ends further outside its range than this, in standard deviations of the training set, is reported. It
is a hundredth of a grey level of an 8-bit display at a standard deviation of 36 levels, and above float32 rounding."""


class Boxed(Constraint):
    """A constraint with a range per channel.

    Args:
        limits: lowest and highest value per channel, None for no limit.
    """

    def __init__(self, limits: Sequence[Limits]) -> None:
        self.limits = tuple(limits)

    def clip(self, x: Tensor) -> Tensor:
        """Clip every value of `(batch, channel, time, height, width)` to its channel's limits."""
        return torch.clamp(x, *bounds(self.limits, x))

    def restore(self, x: Tensor) -> Tensor:
        """Constrain again, which leaves allowed stimuli as they are."""
        return self.process(x)

    def factor(self, x: Tensor) -> Tensor | None:
        """The factor that brings each stimulus into the range."""
        return clip_factor(x, self.limits)

    def missed_range(self, x: Tensor) -> str | None:
        """Say by how much values of a finished stimulus leave the range, or None."""
        excess = float((x - self.clip(x)).abs().max())
        if excess <= RANGE_TOLERANCE:
            return None
        return f"values leave the {range_text(self.limits)} by up to {excess:.3g}: another rule moved them"

    def check(self, x: Tensor) -> str | None:
        """Say if the range is left."""
        return self.missed_range(x)


def rescale_to(x: Tensor, norm: Tensor | float) -> Tensor:
    """Scale each stimulus to a norm of its own; a stimulus of zeros has no direction and stays as it is."""
    current = norms(x)
    return x * torch.where(current > 0, norm / current, 1.0)


SMALLEST = 1e-30
"""Share of a norm below which a norm counts as zero, so that the factor between them is finite."""


def rescale(x: Tensor, norm: float, at_most: bool = False) -> Tensor:
    """Scale each stimulus to a norm; a stimulus of zeros has no direction and stays as it is."""
    factor = norm / norms(x).clamp(min=SMALLEST * norm)
    return x * (factor.clamp(max=1) if at_most else factor)


def missed_norm(x: Tensor, norm: float, at_most: bool = False) -> str | None:
    """Say by how much a finished stimulus `(1, channel, time, height, width)` misses a norm, or None."""
    current = float(norms(x))
    missed = current - norm if at_most else abs(current - norm)
    if missed <= NORM_TOLERANCE * norm:
        return None
    if current == 0:
        return f"the stimulus is zero everywhere, so its norm could not be made {norm:g}"
    return f"the norm is {current:.4g} where {norm:g} was asked; constraint=[norm_and_range] keeps norm and range"


def norm_text(norm: float, at_most: bool) -> str:
    """A norm in words, for titles and results."""
    return f"norm {'at most' if at_most else 'exactly'} {norm:g}"


ROUNDS = 20
"""Projections back and forth between what the constraints allow and what the parameters can make, after a step. The
next step goes on from there; what is missing at the end is in the result."""
TOLERANCE = 1e-5
"""Relative distance between the two at which they count as met, above the rounding of float32 transforms."""


def held_values(constraints: Sequence[Constraint], x: Tensor) -> Tensor | None:
    """Values of `(batch, channel, time, height, width)` that constraints hold, see `Constraint.held`."""
    held: Tensor | None = None
    for constraint in constraints:
        if (more := constraint.held(x)) is not None:
            held = more if held is None else held | more
    return held


def _each(constraints: Sequence[Constraint], x: Tensor, apply: Callable[[Constraint, Tensor], Tensor]) -> Tensor:
    """Apply constraints in order; values that one holds are zero for the others, and are put back afterwards."""
    held = held_values(constraints, x)
    for constraint in constraints:
        if held is None or constraint.held(x) is not None:
            x = apply(constraint, x)
        else:
            x = torch.where(held, x, apply(constraint, x.masked_fill(held, 0)))
    return x


def constrained(constraints: Sequence[Constraint], x: Tensor, before: Tensor | None = None) -> Tensor:
    """Bring stimuli `(batch, channel, time, height, width)` under constraints, in order.

    Args:
        constraints: the constraints.
        x: the stimuli.
        before: the allowed stimuli from which a step led to `x`; None for a start.
    """
    if before is None:
        return _each(constraints, x, lambda constraint, value: constraint.process(value))
    return _each(constraints, x, lambda constraint, value: constraint.follow(value, before))


@torch.no_grad()
def reconciled(constraints: Sequence[Constraint], parameters: Parameters, x: Tensor) -> Tensor:
    """Stimuli near `x` that the parameters can make, and that constraints allow as far as both can be.

    Stimuli are projected back and forth; each row alone, until it is met or `ROUNDS` are over. Where a rule must hold
    whatever else is missed, see `Constraint.factor`, the stimulus is scaled down at last, which all of the built-in
    parameters can follow.
    """
    for _ in range(ROUNDS):
        allowed = _each(constraints, x, lambda constraint, value: constraint.restore(value))
        missed = norms(allowed - x) > TOLERANCE * norms(allowed)
        if not bool(missed.any()):
            break
        x = torch.where(missed, parameters.decode(parameters.encode(allowed)), x)
    held = held_values(constraints, x)
    factors = [constraint.factor(x if held is None else x.masked_fill(held, 0)) for constraint in constraints]
    known = [factor for factor in factors if factor is not None]
    return x * torch.stack(known).amin(0) if known else x


def flaws(constraints: Sequence[Constraint], stimulus: Tensor) -> list[str]:
    """What a finished stimulus `(channel, time, height, width)` lacks of constraints."""
    x = stimulus[None]
    held = held_values(constraints, x)
    shown = x if held is None else x.masked_fill(held, 0)
    checks = [constraint.check(x if constraint.held(x) is not None else shown) for constraint in constraints]
    return [check for check in checks if check]
