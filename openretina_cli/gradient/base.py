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

    @abstractmethod
    def process(self, gradient: Tensor) -> Tensor:
        """Map gradients `(batch, ...)`, in the shape of the parameters, of what the optimizer makes smaller.

        With `stimulus=pixels` the parameters are the stimuli `(batch, channel, time, height, width)`. The input is
        not changed in place.
        """
