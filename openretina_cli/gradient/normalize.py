"""`gradient=[normalize]`: the gradient of every run is divided by its own size, so that steps are equally long."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from openretina_cli.checks import one_of
from openretina_cli.gradient.base import GradientStep


class Normalize(GradientStep):
    """Divide each gradient by its L2 norm or by the mean of its absolute values; a gradient of zeros stays zero.

    Args:
        by: "l2", or "mean_abs" as in Walker et al. 2019, Nat Neurosci 22:2060.

    Raises:
        SettingError: it is neither.
    """

    pure = True

    def __init__(self, by: Literal["l2", "mean_abs"] = "l2") -> None:
        one_of("by", by, ("l2", "mean_abs"))
        self.by = by

    def process(self, gradient: Tensor) -> Tensor:
        """Scale `(batch, channel, time, height, width)`."""
        rows = gradient.flatten(1)
        size = torch.linalg.vector_norm(rows, dim=1) if self.by == "l2" else rows.abs().mean(1)
        return gradient / torch.where(size > 0, size, 1.0).view(-1, *[1] * (gradient.dim() - 1))
