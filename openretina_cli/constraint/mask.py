"""`constraint=[mask]`: a stimulus is confined to a part of the field."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.constraint.base import Constraint
from openretina_cli.masks import FieldMask


class Masked(FieldMask, Constraint):
    """Multiply the start, and what every step adds, by a mask.

    Multiplying the whole stimulus after every step instead would eat up a soft edge: after n steps it would be the n-th
    power of the mask. Arguments are those of `FieldMask`.
    """

    pure = True
    group = "constraint"

    def process(self, x: Tensor) -> Tensor:
        """Mask `(batch, channel, time, height, width)`."""
        return x * self.mask.like(x)

    def follow(self, x: Tensor, before: Tensor) -> Tensor:
        """Mask what a step added."""
        return self.restore(before) + (x - before) * self.mask.like(x)

    def restore(self, x: Tensor) -> Tensor:
        """Take away what lies where the mask is zero."""
        return x * (self.mask.like(x) > 0)

    def check(self, x: Tensor) -> str | None:
        """Say how much lies where the mask is zero."""
        outside = float((x - self.restore(x)).square().sum()) / max(float(x.square().sum()), 1e-30)
        if outside <= 1e-6:  # a thousandth of the amplitude
            return None
        return f"{outside:.2%} of the power lies outside the mask: another rule put it there"

    def __repr__(self) -> str:
        return f"mask {self.mask.text}"
