"""`constraint=[norm]`: a stimulus is scaled to a norm."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from openretina_cli.checks import one_of, positive
from openretina_cli.constraint.base import Constraint, missed_norm, norm_text, rescale


class ChangeNorm(Constraint):
    """Scale each stimulus to an L2 norm over all of its values.

    Args:
        norm: the norm.
        mode: "exactly" scales up and down, "at_most" only down.

    Raises:
        SettingError: the norm is not positive, or the mode unknown.
    """

    pure = True

    def __init__(self, norm: float, mode: Literal["exactly", "at_most"] = "exactly") -> None:
        one_of("mode", mode, ("exactly", "at_most"))
        positive("norm", norm)
        self.norm = float(norm)
        self.at_most = mode == "at_most"

    def process(self, x: Tensor) -> Tensor:
        """Scale `(batch, channel, time, height, width)`."""
        return rescale(x, self.norm, self.at_most)

    def restore(self, x: Tensor) -> Tensor:
        """Scale again."""
        return self.process(x)

    def check(self, x: Tensor) -> str | None:
        """Say if the norm was missed."""
        return missed_norm(x, self.norm, self.at_most)

    def __repr__(self) -> str:
        return norm_text(self.norm, self.at_most)
