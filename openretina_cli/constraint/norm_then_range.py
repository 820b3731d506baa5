"""`constraint=[norm_then_range]`: scale to a norm, then clip, as the example notebook does."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.checks import positive
from openretina_cli.constraint.base import Boxed, missed_norm, rescale
from openretina_cli.limits import Ranges, range_text, read_limits


class ChangeNormJointlyClipRangeSeparately(Boxed):
    """Scale each stimulus to a norm over all channels, then clip every channel to its own range.

    The example notebook's constraint (openretina 1.1.1). Where the range clips, the norm ends below the one asked for;
    `check` says so, and `NormAndRange` keeps both.

    Args:
        min_max_values: lowest and highest value per channel, None for no limit; one pair serves all channels.
        norm: the L2 norm before clipping; None leaves it as it is.

    Raises:
        SettingError: a lowest value is above its highest, or the norm is not positive.
    """

    pure = True

    def __init__(self, min_max_values: Ranges, norm: float | None) -> None:
        positive("norm", norm)
        super().__init__(read_limits("range", min_max_values))
        self.norm = norm

    def process(self, x: Tensor) -> Tensor:
        """Scale and clip `(batch, channel, time, height, width)`."""
        return self.clip(x if self.norm is None else rescale(x, self.norm))

    def check(self, x: Tensor) -> str | None:
        """Say if clipping broke the norm, or a later constraint the range."""
        return (None if self.norm is None else missed_norm(x, self.norm)) or self.missed_range(x)

    def __repr__(self) -> str:
        return ("" if self.norm is None else f"norm {self.norm:g}, then ") + range_text(self.limits)


class NormThenRange(ChangeNormJointlyClipRangeSeparately):
    """The same, with its settings as all constraints have them.

    Args:
        norm: the L2 norm before clipping; None leaves it as it is.
        range: lowest and highest value per channel, None for no limit; one pair serves all channels; None for all.

    Raises:
        SettingError: a lowest value is above its highest, or the norm is not positive.
    """

    def __init__(self, norm: float | None = None, range: Ranges = None) -> None:
        super().__init__(range, norm)
