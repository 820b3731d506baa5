"""`constraint=[spatial_lowpass]`: every frame is smoothed over space."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from openretina_cli.checks import one_of, require
from openretina_cli.constraint.base import Constraint
from openretina_cli.filters import MAX_SIGMA, SPACE, roughness, smoothed


class SpatialGaussianLowPass(Constraint):
    """Smooth every frame with a Gaussian over height and width.

    Args:
        sigma: the Gaussian's standard deviation in pixels.
        kernel_size: odd number of pixels along an edge; None takes all within four standard deviations.
        padding: "reflect" mirrors the frame at its borders, so that a constant frame stays constant and the mean of
            every frame stays what it was; "edge" continues its borders; "zeros" darkens them towards zero.

    Raises:
        SettingError: a value is out of range.
    """

    pure = True

    def __init__(
        self,
        sigma: float,
        kernel_size: int | None = None,
        padding: Literal["reflect", "edge", "zeros"] = "reflect",
    ) -> None:
        require(0 < sigma <= MAX_SIGMA, "sigma", sigma, f"a positive number up to {MAX_SIGMA:g}")
        odd = "an odd number (an even one would shift the stimulus)"
        require(kernel_size is None or (kernel_size >= 1 and kernel_size % 2 == 1), "kernel_size", kernel_size, odd)
        one_of("padding", padding, ("reflect", "edge", "zeros"))
        self.sigma = sigma
        self.kernel_size = kernel_size
        self.padding: Literal["reflect", "edge", "zeros"] = padding

    def process(self, x: Tensor) -> Tensor:
        """Smooth `(batch, channel, time, height, width)`."""
        return smoothed(x, self.sigma, SPACE, self.padding, self.kernel_size)

    def check(self, x: Tensor) -> str | None:
        """Say if a later constraint roughened the frames."""
        return roughness(x, self.sigma, SPACE, "cycles per pixel")

    def __repr__(self) -> str:
        return f"spatial low-pass of sigma {self.sigma:g} pixels ({self.padding} padding)"
