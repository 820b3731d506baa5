"""`gradient=[mask]`: steps change a part of the field only."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.gradient.base import GradientStep
from openretina_cli.masks import FieldMask


class MaskedGradient(FieldMask, GradientStep):
    """Multiply the gradient by a mask; what the start has elsewhere stays, which `constraint=[mask]` takes away too.

    Arguments are those of `FieldMask`.
    """

    pure = True
    group = "gradient"

    def process(self, gradient: Tensor) -> Tensor:
        """Mask `(batch, channel, time, height, width)`."""
        return gradient * self.mask.like(gradient)
