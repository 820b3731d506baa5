"""`constraint=[range]`: every channel stays in its range."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.constraint.base import Boxed
from openretina_cli.limits import Ranges, range_text, read_limits


class ClipRange(Boxed):
    """Clip every value to its channel's range.

    Args:
        range: lowest and highest value per channel, None for no limit; one pair serves all channels; None for all.

    Raises:
        SettingError: a lowest value is above its highest.
    """

    pure = True

    def __init__(self, range: Ranges) -> None:
        super().__init__(read_limits("range", range))

    def process(self, x: Tensor) -> Tensor:
        """Clip `(batch, channel, time, height, width)`."""
        return self.clip(x)

    def __repr__(self) -> str:
        return range_text(self.limits)
