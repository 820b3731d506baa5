"""`constraint=[display]`: every value stays within what an 8-bit display can show."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.checks import positive, require
from openretina_cli.constraint.base import Boxed
from openretina_cli.errors import SettingError
from openretina_cli.limits import range_text
from openretina_cli.models.facts import ModelFacts


class DisplayRange(Boxed):
    """Clip every value to the grey levels of a display: `(level - mean) / std`, z-scored as the training movies were.

    Args:
        facts: what is known about the model, of which the mean and standard deviation are taken.
        black: lowest grey level.
        white: highest grey level.
        mean: mean grey level of the training movies, per channel or one for all; None takes the model's.
        std: standard deviation of their grey levels, likewise.

    Raises:
        SettingError: the statistics are not known, or a value is out of range.
    """

    pure = True

    def __init__(
        self,
        facts: ModelFacts,
        black: float = 0.0,
        white: float = 255.0,
        mean: list[float] | float | None = None,
        std: list[float] | float | None = None,
    ) -> None:
        require(black < white, "black", black, f"less than white={white:g}")
        if (mean is None) != (std is None):
            raise SettingError("mean and std of the grey levels belong together", expected="both, or neither")
        if mean is None and facts.grey_levels is None:
            raise SettingError(
                f"{facts.name} does not say which grey levels its stimuli stand for",
                expected="the mean and standard deviation of the training movies' grey levels",
                repair="constraint.display.mean=MEAN constraint.display.std=STD, or constraint=[range]",
            )
        means, deviations = (_listed(given) for given in ((mean, std) if mean is not None else facts.grey_levels or ()))
        for deviation in deviations:
            positive("std", deviation)
        require(len(means) == len(deviations), "std", deviations, f"{len(means)} values, as of mean")
        pairs = zip(means, deviations, strict=True)
        super().__init__([((black - level) / deviation, (white - level) / deviation) for level, deviation in pairs])
        self.levels = (black, white)

    def process(self, x: Tensor) -> Tensor:
        """Clip `(batch, channel, time, height, width)`."""
        return self.clip(x)

    def __repr__(self) -> str:
        return f"grey levels {self.levels[0]:g} to {self.levels[1]:g}, {range_text(self.limits)}"


def _listed(value: list[float] | float | None) -> list[float]:
    return [float(item) for item in (value if isinstance(value, list) else [value or 0.0])]
