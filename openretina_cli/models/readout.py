"""The published readout: every neuron looks at the core's feature maps through one Gaussian mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.architecture import Architecture
from openretina_cli.models.convolution import noise

MASK_LIMIT = 20.0
"""Bound on the masks' log variance and exponent, as in the published model; it keeps float32 finite."""


def mask_grid(height: int, width: int, neurons: int) -> Tensor:
    """Pixel coordinates `(neurons, height, width, 2)`, the longer side running from -1 to 1."""
    shapes = torch.empty(neurons, height, width, 2)
    if shapes.is_meta:  # nothing is computed where only shapes count, see `noise`
        return shapes
    longer = max(height, width)
    rows = torch.linspace(-height / longer, height / longer, height)
    columns = torch.linspace(-width / longer, width / longer, width)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    return grid.repeat(neurons, 1, 1, 1)


def gaussian_masks(grid: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Gaussian masks `(neuron, height, width)` of unit sum, as in the published model.

    Args:
        grid: see `mask_grid`; of each neuron, or one of all.
        mean: row and column `(neuron, 2)`.
        log_variance: `(neuron,)`.
    """
    variance = torch.exp(torch.clamp(log_variance, -MASK_LIMIT, MASK_LIMIT))
    distance = (grid - mean[:, None, None]).square().sum(-1) / (variance[:, None, None] + 1e-8)
    mask = torch.exp(-0.5 * torch.clamp(distance, max=MASK_LIMIT))
    return mask / mask.sum(dim=(1, 2), keepdim=True)


class GaussianReadout(nn.Module):
    """Softplus of a weighted sum of features, pooled through a Gaussian mask of unit sum.

    Args:
        architecture: channels of the core's output, scales of the stored masks, whether neurons have a gain of their
            own, and whether feature weights are kept at or above zero.
        height: rows of the core's output.
        width: columns of the core's output.
        neurons: number of neurons.
    """

    def __init__(self, architecture: Architecture, height: int, width: int, neurons: int) -> None:
        super().__init__()
        self.mean_scale = architecture.gaussian_mean_scale
        self.variance_scale = architecture.gaussian_var_scale
        self.positive = architecture.readout_positive
        self.outdims = neurons
        self.mask_mean = nn.Parameter(torch.zeros(neurons, 2))
        self.mask_log_var = nn.Parameter(torch.zeros(neurons))
        self.grid = nn.Parameter(mask_grid(height, width, neurons), requires_grad=False)
        self.features = nn.Parameter(noise(1, architecture.hidden_channels[architecture.stack], 1, neurons))
        self.scale = nn.Parameter(torch.ones(neurons)) if architecture.readout_scale else None
        self.bias = nn.Parameter(torch.zeros(neurons))

    def masks(self) -> Tensor:
        """The masks `(neurons, height, width)`, each summing to one."""
        return gaussian_masks(self.grid, self.mask_mean * self.mean_scale, self.mask_log_var * self.variance_scale)

    @torch.no_grad()
    def project(self) -> None:
        """Move feature weights to the nearest allowed ones (at or above zero in a positive readout)."""
        if self.positive:
            self.features.clamp_(min=0)

    @torch.no_grad()
    def center(self) -> None:
        """Put every mask in the middle of the field, so that neurons can be compared without their position."""
        self.mask_mean.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Map features `(batch, channel, time, height, width)` to responses `(batch, time, neuron)`."""
        pooled = torch.einsum("bcthw,nhw->bctn", x, self.masks())
        drive = (pooled * self.features).sum(1)
        if self.scale is not None:
            drive = drive * self.scale
        return F.softplus(drive + self.bias)
