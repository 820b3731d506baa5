"""Ganglion cells: pooled excitation less slow, displaced or wide inhibition, an output nonlinearity, contrast gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.simulation.bipolar import CHANNELS
from openretina_cli.simulation.cell_types import CELL_TYPES, CellType, Weights
from openretina_cli.simulation.movies import HEIGHT, WIDTH

KERNEL_FRAMES = 11
"""Frames over which inhibition and gain look back, as long as the kernels of the twins' second layer."""

ROWS, COLUMNS = (6.0, 11.0), (5.6, 9.4)
"""Where cells may lie, in pixels. The published architecture's valid convolution leaves an 8 x 6 map in the middle of
the field: nearer to the edge, twins could not see a whole receptive field."""

JITTER = 0.08
"""Relative standard deviation of sizes and thresholds among the cells of a type."""

SLOPE = 2.0
"""Sharpness of the output nonlinearity, per standard deviation of the drive."""

GAIN_TAU = 3.0
"""Time constant of the contrast gain control in frames (0.1 s)."""


@dataclass(frozen=True)
class Cell:
    """One ganglion cell: its type and what is its own.

    Attributes:
        type: the functional type.
        row: of its centre, in pixels.
        column: of its centre, in pixels.
        axis: direction of its axis in radians; 0 points to higher columns, pi / 2 to higher rows.
        size: factor on the type's sizes.
        threshold: added to the type's threshold.
    """

    type: CellType
    row: float
    column: float
    axis: float
    size: float
    threshold: float


def draw_cells(rng: np.random.Generator, per_type: int) -> list[Cell]:
    """Cells of every type, in the types' order, at random places."""
    return [
        Cell(
            type=cell_type,
            row=rng.uniform(*ROWS),
            column=rng.uniform(*COLUMNS),
            axis=math.radians(cell_type.axes[index % len(cell_type.axes)]),
            size=1 + JITTER * float(np.clip(rng.standard_normal(), -2, 2)),
            threshold=JITTER * float(np.clip(rng.standard_normal(), -2, 2)),
        )
        for cell_type in CELL_TYPES
        for index in range(per_type)
    ]


def gaussian(cell: Cell, sigma: tuple[float, float], along: float, across: float) -> Tensor:
    """Pooling weights `(height, width)` of unit sum, displaced along and across the cell's axis."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    dy, dx = rows.double() - cell.row, columns.double() - cell.column
    u = dx * math.cos(cell.axis) + dy * math.sin(cell.axis) - along * cell.size
    v = dy * math.cos(cell.axis) - dx * math.sin(cell.axis) - across * cell.size
    weights = torch.exp(-0.5 * ((u / (sigma[0] * cell.size)) ** 2 + (v / (sigma[1] * cell.size)) ** 2))
    return weights / weights.sum()


def pooling(channels: Weights, places: Tensor) -> Tensor:
    """Weights `(channel, height, width)`: every channel is pooled with the same `places`."""
    return torch.stack([channels.get(name, 0.0) * places for name in CHANNELS]).float()


def excitatory(cell: Cell) -> Tensor:
    """The weights `(channel, height, width)` with which a cell pools excitation."""
    return pooling(cell.type.excitation, gaussian(cell, cell.type.sigma, 0.0, 0.0))


def inhibitory(cell: Cell) -> Tensor:
    """The weights `(channel, height, width)` with which a cell pools inhibition."""
    sides = (cell.type.flanks, -cell.type.flanks) if cell.type.flanks else (0.0,)
    places = [gaussian(cell, cell.type.inhibition_sigma, cell.type.displacement, side) for side in sides]
    return pooling(cell.type.inhibition, torch.stack(places).mean(0))


def low_pass(tau: float, delay: int) -> Tensor:
    """An exponential kernel `(KERNEL_FRAMES,)` of unit area, oldest frame first."""
    age = torch.arange(KERNEL_FRAMES - 1, -1, -1, dtype=torch.float64) - delay
    kernel = torch.where(age >= 0, torch.exp(-age.clamp(min=0) / tau), 0.0)
    return (kernel / kernel.sum()).float()


def filter_time(traces: Tensor, kernels: Tensor) -> Tensor:
    """Filter each trace of `(batch, neuron, time)` with its kernel `(neuron, frames)`, valid in time."""
    return F.conv1d(traces, kernels[:, None], groups=len(kernels))


class GanglionLayer(nn.Module):
    """The ganglion cells of one session.

    Args:
        cells: the cells.
    """

    excitation: Tensor
    inhibition: Tensor
    inhibition_kernels: Tensor
    gain_kernels: Tensor
    thresholds: Tensor
    adaptation: Tensor
    mean_rates: Tensor
    drive_mean: Tensor
    drive_std: Tensor
    excitation_mean: Tensor
    rate_scale: Tensor

    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__()
        self.register_buffer("excitation", torch.stack([excitatory(cell) for cell in cells]).flatten(1))
        self.register_buffer("inhibition", torch.stack([inhibitory(cell) for cell in cells]).flatten(1))
        kernels = [low_pass(cell.type.tau, cell.type.delay) for cell in cells]
        self.register_buffer("inhibition_kernels", torch.stack(kernels))
        self.register_buffer("gain_kernels", low_pass(GAIN_TAU, 0).repeat(len(cells), 1))
        self.register_buffer("thresholds", torch.tensor([cell.type.threshold + cell.threshold for cell in cells]))
        self.register_buffer("adaptation", torch.tensor([cell.type.adaptation for cell in cells]))
        self.register_buffer("mean_rates", torch.tensor([cell.type.rate for cell in cells]))
        for name, start in (("drive_mean", 0.0), ("drive_std", 1.0), ("excitation_mean", 1.0), ("rate_scale", 1.0)):
            self.register_buffer(name, torch.full((len(cells),), start))

    def drives(self, bipolar: Tensor) -> tuple[Tensor, Tensor]:
        """Excitation less inhibition, and recent excitation: both `(batch, time - 10, neuron)`."""
        inputs = bipolar.transpose(1, 2).flatten(2)  # (batch, time, channel * height * width)
        excitation = (inputs @ self.excitation.T).transpose(1, 2)
        inhibition = (inputs @ self.inhibition.T).transpose(1, 2)
        drive = excitation[..., KERNEL_FRAMES - 1 :] - filter_time(inhibition, self.inhibition_kernels)
        return drive.transpose(1, 2), filter_time(excitation, self.gain_kernels).transpose(1, 2)

    def rates(self, drive: Tensor, recent: Tensor) -> Tensor:
        """Firing rates from what `drives` returned, before they are scaled to the mean rates."""
        standard = (drive - self.drive_mean) / self.drive_std
        rate = F.softplus(SLOPE * (standard - self.thresholds)) / SLOPE
        return rate / (1 + self.adaptation * recent / self.excitation_mean)

    @torch.no_grad()
    def calibrate(self, bipolar: Tensor) -> None:
        """Standardise the drive on responses to movies, and scale the rate to its mean."""
        drive, recent = (part.flatten(0, 1) for part in self.drives(bipolar))
        self.drive_mean.copy_(drive.mean(0))
        self.drive_std.copy_(drive.std(0))
        # a cell without excitation has no gain control either
        self.excitation_mean.copy_(recent.mean(0).clamp(min=1e-6))
        self.rate_scale.copy_(self.mean_rates / self.rates(drive, recent).mean(0))

    def forward(self, bipolar: Tensor) -> Tensor:
        """Rates `(batch, time - 10, neuron)` from channels `(batch, channel, time, height, width)`."""
        return self.rates(*self.drives(bipolar)) * self.rate_scale
