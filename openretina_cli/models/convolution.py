"""The space-time separable convolution of the published core, its temporal kernel a windowed Fourier series."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FRAMES_PER_FREQUENCY = 3
"""One sine and one cosine per three frames of kernel keeps the basis well under the Nyquist limit
(Höfling et al. 2024, eLife 13:e86860, Methods: 21 frames, 7 frequencies)."""

WINDOW_FRACTION = 0.95
"""Where the logistic window that fades the oldest frames has its midpoint, as a fraction of the kernel length."""


def temporal_basis(log_speed: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Windowed sines and cosines that a temporal kernel is a weighted sum of.

    Args:
        log_speed: `(1,)`, natural logarithm of the session's temporal stretch.
        length: kernel length in frames.

    Returns:
        Sines and cosines, each `(length // 3, length)`.
    """
    speed = torch.exp(log_speed)
    time = torch.arange(length, dtype=log_speed.dtype, device=log_speed.device) - length
    window = torch.sigmoid(time + int(length * WINDOW_FRACTION) / speed)
    frequency = torch.arange(length // FRAMES_PER_FREQUENCY, dtype=log_speed.dtype, device=log_speed.device)
    phase = frequency[:, None] * (speed * time * 2 * math.pi / length)
    return window * torch.sin(phase), window * torch.cos(phase)


def noise(*shape: int) -> Tensor:
    """Where training starts: normal numbers with standard deviation 0.01.

    On the meta device, where only shapes count, nothing is drawn, as torch would import its compiler for it (0.9 s).
    """
    shapes = torch.empty(shape)
    return shapes if shapes.is_meta else 0.01 * torch.randn(shape)


LogSpeeds = Mapping[str, nn.Parameter]


class SeparableConvolution(nn.Module):
    """A 3-D convolution whose kernel is a temporal kernel times a spatial one, for each pair of channels.

    The temporal kernel is stretched by a factor learnt per session, exp(log speed), so that recordings made at
    different temperatures can share one core (Höfling et al. 2024, eLife 13:e86860).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        length: temporal kernel size in frames; the convolution is valid in time and drops `length - 1` frames.
        size: spatial kernel size in pixels, for height and width.
        padding: pixels of zero padding on each spatial side.
        log_speeds: one shared parameter `(1,)` per session.
    """

    def __init__(
        self, in_channels: int, out_channels: int, length: int, size: int, padding: int, log_speeds: LogSpeeds
    ) -> None:
        super().__init__()
        frequencies = length // FRAMES_PER_FREQUENCY
        # 0.01 is the published initial scale; a loaded checkpoint overwrites all of these
        self.sin_weights = nn.Parameter(noise(out_channels, in_channels, frequencies))
        self.cos_weights = nn.Parameter(noise(out_channels, in_channels, frequencies))
        self.weight_spatial = nn.Parameter(noise(out_channels, in_channels, 1, size, size))
        self.register_buffer("_log_speed_default", torch.zeros(1))
        for session, log_speed in log_speeds.items():
            self.register_parameter(f"log_speed_{session}", log_speed)
        self.length = length
        self.padding = padding

    def temporal_kernel(self, session: str) -> Tensor:
        """The temporal kernels `(out, in, length)` at a session's speed."""
        sines, cosines = temporal_basis(self.get_parameter(f"log_speed_{session}"), self.length)
        return self.sin_weights @ sines + self.cos_weights @ cosines

    def forward(self, x: Tensor, session: str) -> Tensor:
        """Convolve `(batch, in, time, height, width)` to `(batch, out, time - length + 1, height', width')`."""
        kernel = self.temporal_kernel(session)[..., None, None] * self.weight_spatial
        return F.conv3d(x, kernel, padding=(0, self.padding, self.padding))
