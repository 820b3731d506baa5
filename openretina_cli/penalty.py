"""Penalties (regularization losses) are soft: they are subtracted from the score, one number per stimulus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from openretina_cli.checks import positive
from openretina_cli.limits import Ranges, bounds, read_limits


class Penalty(ABC):
    """A price for undesired stimuli.

    Attributes:
        pure: whether the price depends on each stimulus and on the attributes of the penalty alone, so that runs with
            equal penalties can share one call.
    """

    pure: ClassVar[bool] = False

    @abstractmethod
    def forward(self, stimulus: Tensor) -> Tensor:
        """The price `(batch,)` of stimuli `(batch, channel, time, height, width)`."""


class RangePenalty(Penalty):
    """The summed distance of all values from their channel's range, plus the norm in excess of a limit.

    As the package's `RangeRegularizationLoss` (openretina 1.1.1), but the norm is taken of each stimulus, not of the
    batch.

    Args:
        range: lowest and highest value per channel, None for no limit; one pair serves all channels; None for all.
        norm: largest L2 norm that costs nothing; None for no limit.
        factor: price per unit.

    Raises:
        SettingError: a lowest value is above its highest, or the norm or the factor is not positive.
    """

    pure = True

    def __init__(self, range: Ranges, norm: float | None = None, factor: float = 1.0) -> None:
        positive("norm", norm)
        positive("factor", factor)
        self._limits = read_limits("range", range)
        self._max_norm = norm
        self._factor = factor

    def forward(self, stimulus: Tensor) -> Tensor:
        """The price `(batch,)` of stimuli `(batch, channel, time, height, width)`."""
        low, high = bounds(self._limits, stimulus)
        excess = torch.relu(low - stimulus) + torch.relu(stimulus - high)
        price = excess.flatten(1).sum(1)
        if self._max_norm is not None:
            price = price + torch.relu(torch.linalg.vector_norm(stimulus.flatten(1), dim=1) - self._max_norm)
        return self._factor * price

    def __repr__(self) -> str:
        norm = "" if self._max_norm is None else f" and norm {self._max_norm:g}"
        return f"{self._factor:g} * distance from the range{norm}"
