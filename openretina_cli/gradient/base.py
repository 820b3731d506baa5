"""Gradient steps (preconditions) change the gradient before the optimizer sees it, in the order listed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class GradientStep(ABC):
    """A rule that maps gradients to those that the optimizer steps along, each row of a batch alone.

    Attributes:
        pure: whether the result depends on the gradient and on the attributes of the step alone, so that runs with
            equal steps can share one call. A step that keeps a state between calls is not pure.
    """

    pure: ClassVar[bool] = False

    def at(self, iteration: int) -> GradientStep:
        """The step as it is at an iteration, 0 for the first; this one, unless a subclass has a schedule.

        It keeps no state: a schedule is a function of the number alone.
        """
        del iteration
        return self

    @abstractmethod
    def process(self, gradient: Tensor) -> Tensor:
        """Map gradients `(batch, channel, time, height, width)`, with respect to stimuli, of what is made smaller.

        Where the parameters are not the pixels, what this returns is pulled back to the parameters afterwards. The
        input is not changed in place.
        """
