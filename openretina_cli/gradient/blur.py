"""`gradient=[blur]`: the gradient is smoothed over space and time, so that the stimulus grows no pixel noise."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from openretina_cli.checks import one_of, require
from openretina_cli.filters import MAX_SIGMA, SPACE, TIME, smoothed
from openretina_cli.gradient.base import GradientStep


class Blur(GradientStep):
    """Convolve the gradient with a Gaussian, whose width may change over the iterations (Walker et al. 2019).

    Args:
        sigma: standard deviation over height and width in pixels; 0 leaves space as it is.
        sigma_frames: standard deviation over time in frames; 0 leaves time as it is.
        sigma_end: what `sigma` has become after `iterations`, in a straight line; None keeps it.
        sigma_frames_end: the same for `sigma_frames`.
        iterations: over how many iterations; afterwards the widths stay.
        border: "reflect" mirrors the gradient at the borders, "zeros" takes it for zero beyond them.

    Raises:
        SettingError: a value is out of range.
    """

    pure = True

    def __init__(
        self,
        sigma: float = 0.7,
        sigma_frames: float = 0.0,
        sigma_end: float | None = None,
        sigma_frames_end: float | None = None,
        iterations: int = 1,
        border: Literal["reflect", "zeros"] = "reflect",
    ) -> None:
        for name, value in (("sigma", sigma), ("sigma_frames", sigma_frames)):
            require(0 <= value <= MAX_SIGMA, name, value, f"0 to {MAX_SIGMA:g}")
        for name, end in (("sigma_end", sigma_end), ("sigma_frames_end", sigma_frames_end)):
            require(end is None or 0 <= end <= MAX_SIGMA, name, end, f"0 to {MAX_SIGMA:g}, or null")
        require(iterations >= 0, "iterations", iterations, "0 or more")
        one_of("border", border, ("reflect", "zeros"))
        self.sigma, self.sigma_frames = float(sigma), float(sigma_frames)
        self.sigma_end = self.sigma if sigma_end is None else float(sigma_end)
        self.sigma_frames_end = self.sigma_frames if sigma_frames_end is None else float(sigma_frames_end)
        self.iterations = iterations
        self.border: Literal["reflect", "zeros"] = border

    def at(self, iteration: int) -> Blur:
        """The blur of an iteration: the first has `sigma`, the last `sigma_end`."""
        if (self.sigma_end, self.sigma_frames_end) == (self.sigma, self.sigma_frames):
            return self
        part = min(iteration / max(self.iterations - 1, 1), 1.0)
        space = self.sigma + part * (self.sigma_end - self.sigma)
        time = self.sigma_frames + part * (self.sigma_frames_end - self.sigma_frames)
        return Blur(space, time, border=self.border)

    def process(self, gradient: Tensor) -> Tensor:
        """Smooth `(batch, channel, time, height, width)`."""
        return smoothed(smoothed(gradient, self.sigma, SPACE, self.border), self.sigma_frames, (TIME,), self.border)
