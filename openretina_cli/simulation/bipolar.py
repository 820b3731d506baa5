"""Bipolar channels: colour-weighted centre minus surround, a biphasic kernel, rectification and saturation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.simulation.movies import HEIGHT, WIDTH

KERNEL_FRAMES = 21
"""Temporal kernel length; 0.7 s at 30 Hz, as in the twins' first layer (Höfling et al. 2024, eLife 13:e86860)."""

CENTRE_SIGMA, SURROUND_SIGMA = 0.7, 2.1
"""Standard deviations of centre and surround in pixels: 35 and 105 um."""

SURROUND_DELAY = 1.0
"""Delay of the surround in frames; 1 frame is 33 ms."""

SHARPNESS = 2.5
"""Slope of the softplus rectifier, in 1 / (mean absolute response to the calibration movies)."""

SATURATION = 3.0
"""Output that a channel approaches, in units of its mean response to movies."""

Colours = tuple[float, float]


@dataclass(frozen=True)
class Opsins:
    """How a place on the retina weighs green and UV.

    M and S opsin are expressed in opposite dorso-ventral gradients, so ventral cones are UV-sensitive; their surround
    is less so, because rods and long-range inhibition carry green to it (Szatko et al. 2020, Nat Commun,
    doi:10.1038/s41467-020-17113-8). The weights are round numbers after that finding, not measurements.

    Attributes:
        centre: weights of green and UV in the receptive field centre, summing to one.
        surround: the same in the surround.
    """

    centre: Colours
    surround: Colours


DORSAL = Opsins(centre=(0.5, 0.5), surround=(0.5, 0.5))
VENTRAL = Opsins(centre=(0.3, 0.7), surround=(0.45, 0.55))


@dataclass(frozen=True)
class BipolarChannel:
    """One kind of input to ganglion cells. Sizes are in pixels of 50 um, times in frames of 1/30 s.

    The constants are chosen by hand within what is usual for mouse bipolar cells: they are those with which the twins
    were found to learn the simulated retina.

    Attributes:
        polarity: 1 for ON, -1 for OFF.
        peak: time to peak of the temporal kernel.
        undershoot: area of the kernel's second lobe relative to its first.
        threshold: of the rectification, in units of the mean absolute response to movies.
        surround: strength of the surround relative to the centre.
        colours: centre weights of green and UV; None for what the place on the retina has.
    """

    polarity: int
    peak: float
    undershoot: float
    threshold: float
    surround: float
    colours: Colours | None = None


CHANNELS: dict[str, BipolarChannel] = {
    "ON transient": BipolarChannel(1, 2.2, 0.8, 0.0, 0.6),
    "OFF transient": BipolarChannel(-1, 2.2, 0.8, 0.0, 0.6),
    "ON sustained": BipolarChannel(1, 2.6, 0.22, -0.7, 0.5),
    "OFF sustained": BipolarChannel(-1, 2.6, 0.22, -0.7, 0.5),
    "ON slow": BipolarChannel(1, 5.0, 0.4, -0.7, 0.4),
    "OFF slow": BipolarChannel(-1, 5.0, 0.4, -0.7, 0.4),
    "UV-ON": BipolarChannel(1, 2.6, 0.3, -0.7, 0.3, (0.0, 1.0)),
    "UV-ON opponent": BipolarChannel(1, 3.5, 0.3, -0.7, 0.3, (0.0, 1.0)),
    "green-OFF opponent": BipolarChannel(-1, 3.5, 0.3, -0.7, 0.3, (1.0, 0.0)),
}
"""The channels by name. The last two meet in the colour-opponent ganglion cells."""


def lobe(peak: float, delay: float) -> Tensor:
    """A gamma-like lobe `(KERNEL_FRAMES,)` of unit area that peaks `peak` frames after its cause."""
    time = (torch.arange(KERNEL_FRAMES, dtype=torch.float64) - delay).clamp(min=0) / peak
    shape = (time * torch.exp(1 - time)) ** 3
    return shape / shape.sum()


def temporal_kernel(channel: BipolarChannel, delay: float = 0.0) -> Tensor:
    """The biphasic kernel `(KERNEL_FRAMES,)`, oldest frame first, for a convolution as torch defines it."""
    kernel = lobe(channel.peak, delay) - channel.undershoot * lobe(1.8 * channel.peak, delay)
    return channel.polarity * kernel.flip(0)


def filters(channel: BipolarChannel, opsins: Opsins) -> Tensor:
    """What a channel does in time to each colour of centre and surround: `(2, colour, KERNEL_FRAMES)`."""
    centre = torch.tensor(channel.colours or opsins.centre)[:, None] * temporal_kernel(channel)
    surround = torch.tensor(opsins.surround)[:, None] * temporal_kernel(channel, SURROUND_DELAY)
    return torch.stack([centre, -channel.surround * surround])


def gaussian_blur(size: int, sigma: float) -> Tensor:
    """A matrix `(size, size)` that blurs along one axis; beyond the field the stimulus is its mean, zero."""
    offsets = torch.arange(size, dtype=torch.float64)[:, None] - torch.arange(size, dtype=torch.float64)
    blur = torch.exp(-0.5 * (offsets / sigma).square()) / (sigma * math.sqrt(2 * math.pi))
    # Far from the diagonal float32 would hold denormal numbers, which processors multiply many times more slowly.
    return torch.where(blur > 1e-12, blur, 0.0)


class BipolarLayer(nn.Module):
    """All bipolar channels of one place on the retina.

    Args:
        opsins: the place's colour weights.
        channels: the channels.
    """

    rows: Tensor
    columns: Tensor
    filters: Tensor
    thresholds: Tensor
    gains: Tensor

    def __init__(self, opsins: Opsins, channels: Sequence[BipolarChannel]) -> None:
        super().__init__()
        for name, size in (("rows", HEIGHT), ("columns", WIDTH)):
            blurs = [gaussian_blur(size, sigma) for sigma in (CENTRE_SIGMA, SURROUND_SIGMA)]
            self.register_buffer(name, torch.stack(blurs)[:, None, None, None].float())
        self.register_buffer("filters", torch.stack([filters(channel, opsins) for channel in channels]).float())
        self.register_buffer("thresholds", torch.tensor([channel.threshold for channel in channels]))
        self.register_buffer("gains", torch.ones(len(channels)))

    def filtered(self, stimulus: Tensor) -> Tensor:
        """The linear part `(batch, channel, time - 20, height, width)`, before gain and rectification."""
        blurred = self.rows @ stimulus @ self.columns  # (centre or surround, batch, colour, time, height, width)
        inputs = blurred.transpose(0, 1).flatten(1, 2).flatten(3)
        linear: Tensor = F.conv2d(inputs, self.filters.flatten(1, 2)[..., None])
        return linear.reshape(*linear.shape[:3], *stimulus.shape[-2:])

    @torch.no_grad()
    def calibrate(self, stimuli: Tensor) -> None:
        """Set the gains so that the mean absolute response to movies is one."""
        self.gains.copy_(1 / self.filtered(stimuli).abs().mean(dim=(0, 2, 3, 4)))

    def forward(self, stimulus: Tensor) -> Tensor:
        """Outputs `(batch, channel, time - 20, height, width)` to stimuli `(batch, colour, time, height, width)`."""
        gains, thresholds = self.gains.view(-1, 1, 1, 1), self.thresholds.view(-1, 1, 1, 1)
        rectified = F.softplus(SHARPNESS * (gains * self.filtered(stimulus) - thresholds)) / SHARPNESS
        return rectified / (1 + rectified / SATURATION)
