"""`constraint=[rank]`: a stimulus is a sum of few products of a time course and an image."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.constraint.base import Constraint, rescale_to
from openretina_cli.limits import norms
from openretina_cli.separable import rank_share, truncated


class NearestOfRank(Constraint):
    """Replace each stimulus by the nearest one of a rank, scaled to the norm it had.

    model_in_the_loop (2026) rebuilds MEIs so at rank 1, once at the end; as a constraint it holds after every step.

    Args:
        rank: number of products of a time course and an image.
        jointly: whether all channels share their time courses; if not, each channel has its own.

    Raises:
        SettingError: the rank is below 1.
    """

    pure = True

    def __init__(self, rank: int = 1, jointly: bool = False) -> None:
        require(rank >= 1, "rank", rank, "1 or more")
        self.rank = rank
        self.jointly = jointly

    def process(self, x: Tensor) -> Tensor:
        """Rebuild `(batch, channel, time, height, width)`."""
        return rescale_to(truncated(x, self.rank, self.jointly), norms(x))

    def restore(self, x: Tensor) -> Tensor:
        """Rebuild again."""
        return self.process(x)

    def check(self, x: Tensor) -> str | None:
        """Say if a later constraint raised the rank."""
        share = rank_share(x, self.rank, self.jointly)
        if share >= 1 - 1e-6:  # float32 rounding of the values leaves some 1e-13 of the power
            return None
        return f"{1 - share:.2%} of the power is not of rank {self.rank}: another rule put it there"

    def __repr__(self) -> str:
        return f"rank {self.rank} {'over all channels' if self.jointly else 'per channel'}"
