"""`constraint=[temporal_lowpass]`: every pixel is smoothed over time."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from openretina_cli.checks import one_of, positive, require
from openretina_cli.constraint.base import Constraint
from openretina_cli.filters import TIME, roughness


class TemporalGaussianLowPass(Constraint):
    """Smooth every pixel over time with a Gaussian.

    Args:
        sigma: the Gaussian's standard deviation in frames.
        kernel_size: odd number of frames.
        padding: "edge" continues the first and last frame, so that a constant stimulus stays constant; "zeros" darkens
            them towards zero, as openretina 1.1.1 does.

    Raises:
        SettingError: a value is out of range.
    """

    pure = True

    def __init__(self, sigma: float, kernel_size: int, padding: Literal["edge", "zeros"] = "edge") -> None:
        positive("sigma", sigma)
        odd = "an odd number (an even one would shift the stimulus in time)"
        require(kernel_size >= 1 and kernel_size % 2 == 1, "kernel_size", kernel_size, odd)
        one_of("padding", padding, ("edge", "zeros"))
        self.sigma = sigma
        self.kernel_size = kernel_size
        self.padding: Literal["edge", "zeros"] = padding

    def process(self, x: Tensor) -> Tensor:
        """Smooth `(batch, channel, time, height, width)`."""
        half = self.kernel_size // 2
        offsets = torch.arange(-half, half + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-offsets.square() / (2 * self.sigma**2))
        kernel = (kernel / kernel.sum()).view(1, 1, -1)
        batch, channels, frames, height, width = x.shape
        traces = x.movedim(2, -1).reshape(-1, 1, frames)
        padded = F.pad(traces, (half, half), mode="replicate" if self.padding == "edge" else "constant")
        smooth = F.conv1d(padded, kernel)
        return smooth.reshape(batch, channels, height, width, frames).movedim(-1, 2).contiguous()

    def check(self, x: Tensor) -> str | None:
        """Say if a later constraint roughened the time courses."""
        return roughness(x, self.sigma, (TIME,), "cycles per frame")

    def __repr__(self) -> str:
        return f"temporal low-pass of sigma {self.sigma:g} frames ({self.padding} padding)"
