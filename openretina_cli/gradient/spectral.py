"""`gradient=[spectral]`: the amplitude of the gradient is divided by a power of frequency, as of natural stimuli."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.filters import HEIGHT, TIME, WIDTH, along, cosines, radius
from openretina_cli.gradient.base import GradientStep


@lru_cache(maxsize=16)
def transfer(frames: int, height: int, width: int, alpha: float, alpha_time: float) -> Tensor:
    """Factors `(time, height, width)` of the cosines: (f / lowest f)^-alpha in space, times the same in time."""
    space = radius([cosines(height)[1], cosines(width)[1]])
    time = cosines(frames)[1].view(-1, 1, 1)
    factors = torch.ones(frames, height, width, dtype=torch.float64)
    for frequency, exponent in ((space, alpha), (time, alpha_time)):
        above = frequency[frequency > 0]
        if len(above):
            factors = factors * (frequency.clamp(min=float(above.min())) / above.min()) ** -exponent
    return factors


class Spectral(GradientStep):
    """Divide each cosine of the gradient by f^alpha; the mirrored borders make no edge.

    The lowest frequency of an axis, 1 / (2 length), keeps its amplitude, and so does what does not change at all.

    Args:
        alpha: exponent of spatial frequency; 1 is that of natural scenes (Field 1987, doi:10.1364/JOSAA.4.002379).
        alpha_time: exponent of temporal frequency.

    Raises:
        SettingError: an exponent is negative.
    """

    pure = True

    def __init__(self, alpha: float = 1.0, alpha_time: float = 0.0) -> None:
        for name, value in (("alpha", alpha), ("alpha_time", alpha_time)):
            require(0 <= value < float("inf"), name, value, "0 or more")
        self.alpha, self.alpha_time = float(alpha), float(alpha_time)

    def process(self, gradient: Tensor) -> Tensor:
        """Filter `(batch, channel, time, height, width)`."""
        axes = (TIME, HEIGHT, WIDTH)
        for axis in axes:
            gradient = along(gradient, cosines(gradient.shape[axis])[0], axis)
        frames, height, width = gradient.shape[TIME:]
        gradient = gradient * transfer(frames, height, width, self.alpha, self.alpha_time).to(gradient)
        for axis in axes:
            gradient = along(gradient, cosines(gradient.shape[axis])[0].T, axis)
        return gradient
