"""Options of the config groups `constraint` and `penalty`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from openretina_cli.config.options.base import Option
from openretina_cli.config.values import one_of, positive, range_pairs, require


@dataclass
class Range(Option):
    """Clip to a range."""

    range: Any = None

    def __post_init__(self) -> None:
        """Check the values."""
        self.range = range_pairs("range", self.range)


@dataclass
class NormThenRange(Range):
    """Scale to a norm, then clip."""

    norm: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)


@dataclass
class Norm(Option):
    """Scale to a norm."""

    norm: float = MISSING
    mode: str = "exactly"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("norm", self.norm)
        one_of("mode", self.mode, ("exactly", "at_most"))


@dataclass
class NormRange(Range):
    """Nearest stimulus with norm and range."""

    norm: float = MISSING
    mode: str = "exactly"

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)
        one_of("mode", self.mode, ("exactly", "at_most"))


@dataclass
class TemporalLowPass(Option):
    """Gaussian smoothing over time."""

    sigma: float = MISSING
    kernel_size: int = MISSING
    padding: str = "edge"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("sigma", self.sigma)
        require(self.kernel_size >= 1 and self.kernel_size % 2 == 1, "kernel_size", self.kernel_size, "an odd number")
        one_of("padding", self.padding, ("edge", "zeros"))


@dataclass
class RangePenaltyOption(Range):
    """Price for leaving the range or exceeding the norm."""

    norm: float | None = None
    factor: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)
        positive("factor", self.factor)
