"""Constraints (postprocessors) are hard: they are applied to the stimulus after every step, in the order listed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from openretina_cli.limits import norms

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

    def check(self, x: Tensor) -> str | None:
        """Say what a finished stimulus `(1, channel, time, height, width)` lacks, or None."""
        del x
        return None


def rescale(x: Tensor, norm: float, at_most: bool = False) -> Tensor:
    """Scale each stimulus to a norm; a stimulus of zeros has no direction and stays as it is."""
    current = norms(x)
    factor = norm / torch.where(current > 0, current, norm)
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
