"""Options of the config groups `optimizer`, `stopper`, `stimulus` and `output`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from openretina_cli.config.options.base import Option
from openretina_cli.config.values import one_of, positive, require


@dataclass
class Fixed(Option):
    """A fixed number of iterations."""

    max_iterations: int = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.max_iterations >= 0, "max_iterations", self.max_iterations, "0 or more")


@dataclass
class Early(Fixed):
    """Stop on a plateau."""

    patience: int = MISSING
    min_delta: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        require(self.patience >= 1, "patience", self.patience, "1 or more")
        require(self.min_delta >= 0, "min_delta", self.min_delta, "0 or more")


@dataclass
class Noise:
    """Gaussian noise."""

    frames: int = MISSING
    mean: float = MISSING
    std: float = MISSING
    norm: float = MISSING
    file: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.frames >= 1, "frames", self.frames, "1 or more")
        require(self.std >= 0, "std", self.std, "0 or more")
        positive("norm", self.norm)


@dataclass
class Output:
    """Which pictures are made."""

    video: bool = True
    figure: list[str] = field(default_factory=lambda: ["png"])
    video_scale: str = "symmetric"
    dpi: int = 160

    def __post_init__(self) -> None:
        """Check the values."""
        for name in self.figure:
            one_of("figure", name, ("png", "pdf", "svg"))
        require(20 <= self.dpi <= 1200, "dpi", self.dpi, "20 to 1200")
        one_of("video_scale", self.video_scale, ("symmetric", "joint"))


@dataclass
class Optimizer:
    """A `torch.optim` class and its arguments."""

    target: str
    arguments: dict[str, Any]
