"""The constraints of a run together: in order, around what one of them holds, and reconciled with the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from openretina_cli.constraint.base import Constraint
from openretina_cli.limits import norms
from openretina_cli.stimulus.base import Parameters

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
