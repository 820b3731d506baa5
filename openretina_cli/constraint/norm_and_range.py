"""`constraint=[norm_and_range]`: the nearest stimulus with a norm and in a range."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from openretina_cli.checks import one_of, positive
from openretina_cli.constraint.base import Boxed, missed_norm, norm_text
from openretina_cli.errors import SettingError
from openretina_cli.filters import WITHOUT_FLOAT64
from openretina_cli.limits import Ranges, norms, range_text, read_limits


def _squares(x: Tensor) -> Tensor:
    """Squared norm of each stimulus, in float64: sums over some 10^4 squares are compared with each other."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim())), keepdim=True, dtype=torch.float64)
    return norm.square()


class NormAndRange(Boxed):
    """The nearest stimulus that has the norm and lies in the range, both at once.

    Minimising |x - y|^2 over |x| = norm and low <= x <= high leads, by its Lagrangian, to x = clip(s * y, low, high)
    with one factor s > 0. The norm of clip(s * y) never falls as s grows, so s is found by scaling what the range has
    not yet clipped until nothing more is clipped; each round clips a superset of the last, so the rounds end.

    Args:
        range: lowest and highest value per channel, None for no limit; one pair serves all channels. Zero,
            the training set's mean, must lie inside.
        norm: the L2 norm.
        mode: "exactly", or "at_most" to leave smaller stimuli as they are.

    Raises:
        SettingError: the norm is not positive, or a range does not hold zero.
    """

    ROUNDS = 100
    """More rounds than were ever needed (about ten); it bounds the time, and the remainder is below rounding."""

    pure = True

    def __init__(self, range: Ranges, norm: float, mode: Literal["exactly", "at_most"] = "exactly") -> None:
        one_of("mode", mode, ("exactly", "at_most"))
        positive("norm", norm)
        super().__init__(read_limits("range", range))
        self.norm = float(norm)
        self.at_most = mode == "at_most"
        for low, high in self.limits:
            if (low is not None and low > 0) or (high is not None and high < 0):
                raise SettingError(f"the range [{low}, {high}] leaves out 0", expected="minimum <= 0 <= maximum")

    def process(self, x: Tensor) -> Tensor:
        """Project `(batch, channel, time, height, width)`; where the range is too tight for the norm, fill it."""
        if x.device.type in WITHOUT_FLOAT64:
            return self._projected(x.cpu()).to(x)
        return self._projected(x)

    def _projected(self, x: Tensor) -> Tensor:
        clipped, free = self.clip(x), torch.ones_like(x, dtype=torch.bool)
        stays = (norms(clipped) <= self.norm) & self.at_most
        scale = torch.zeros_like(norms(x), dtype=torch.float64)
        for _ in range(self.ROUNDS):
            used, left = (_squares(some) for some in (clipped.masked_fill(free, 0), x.masked_fill(~free, 0)))
            wanted = torch.sqrt((self.norm**2 - used).clamp(min=0) / left)
            grows = ~stays & (left > 0) & (wanted > scale)
            if not grows.any():
                break
            scale = torch.where(grows, wanted, scale)
            scaled = x * scale.to(x.dtype)
            clipped = torch.where(grows, self.clip(scaled), clipped)
            free = clipped == scaled
        return clipped

    def check(self, x: Tensor) -> str | None:
        """Say if the norm cannot be reached inside the range, or the range is left."""
        if (missed := missed_norm(x, self.norm, self.at_most)) is None:
            return self.missed_range(x)
        missed = missed.partition(";")[0]
        if missed_norm(self.process(x), self.norm, self.at_most) is None:
            return f"{missed}: another rule changed it"
        return f"the norm {self.norm:g} cannot be reached inside the range: {missed}"

    def __repr__(self) -> str:
        return f"{norm_text(self.norm, self.at_most)} within {range_text(self.limits)}"
