"""Linear filters along the axes of a stimulus, each a small matrix, so that borders are what they are said to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Border = Literal["reflect", "edge", "zeros"]
"""What lies beyond the first and last value: their mirror image, their repetition, or nothing."""
TIME, HEIGHT, WIDTH = 2, 3, 4
"""Axes of `(batch, channel, time, height, width)`."""
SPACE = (HEIGHT, WIDTH)
WITHOUT_FLOAT64 = ("mps",)
"""Kinds of devices that have no float64; sums that need it are taken on the CPU."""
MAX_SIGMA = 100.0
"""Widest Gaussian; what is wider than every field known leaves the mean only, and costs time."""
REACH = 4.0
"""Standard deviations after which a Gaussian is cut off, where no number of values is given; it has fallen to 3e-4."""


def along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply every line of `x` along an axis by a matrix `(new, old)`."""
    return (x.movedim(axis, -1) @ matrix.to(x).T).movedim(-1, axis).contiguous()


def _source(index: int, length: int, border: Border) -> int | None:
    """The value that stands at an index beyond the borders."""
    if 0 <= index < length:
        return index
    if border == "reflect":  # dcba|abcd|dcba
        folded = index % (2 * length)
        return min(folded, 2 * length - 1 - folded)
    return min(max(index, 0), length - 1) if border == "edge" else None


def gaussian_kernel(sigma: float, reach: int) -> Tensor:
    """A sampled Gaussian `(2 reach + 1,)` of sum 1."""
    kernel = torch.exp(-torch.arange(-reach, reach + 1, dtype=torch.float64).square() / (2 * sigma**2))
    return kernel / kernel.sum()


@lru_cache(maxsize=128)
def _smoothing(length: int, sigma: float, border: Border, kernel_size: int | None) -> Tensor:
    reach = math.ceil(REACH * sigma) if kernel_size is None else kernel_size // 2
    matrix = torch.zeros(length, length, dtype=torch.float64)
    for row in range(length):
        for offset, weight in zip(range(-reach, reach + 1), gaussian_kernel(sigma, reach).tolist(), strict=True):
            if (column := _source(row + offset, length, border)) is not None:
                matrix[row, column] += weight
    return matrix


def smoothed(
    x: Tensor, sigma: float, axes: Sequence[int], border: Border = "reflect", kernel_size: int | None = None
) -> Tensor:
    """Convolve with a sampled Gaussian along axes.

    Args:
        x: `(batch, channel, time, height, width)`.
        sigma: standard deviation in pixels or frames; 0 changes nothing.
        axes: the axes, such as `SPACE`.
        border: what lies beyond the borders.
        kernel_size: odd number of values of the Gaussian; None takes all within `REACH` standard deviations.
    """
    for axis in axes if sigma > 0 else ():
        x = along(x, _smoothing(x.shape[axis], float(sigma), border, kernel_size), axis)
    return x


@lru_cache(maxsize=64)
def cosines(length: int) -> tuple[Tensor, Tensor]:
    """The orthonormal cosines of a line that is mirrored at its ends (DCT-II).

    Returns:
        A matrix `(frequency, value)`, and the frequencies `(frequency,)` in cycles per value: k / (2 length).
    """
    k = torch.arange(length, dtype=torch.float64)
    matrix = torch.cos(math.pi * k[:, None] * (2 * k + 1) / (2 * length)) * math.sqrt(2 / length)
    matrix[0] /= math.sqrt(2)
    return matrix, k / (2 * length)


def radius(frequencies: Sequence[Tensor]) -> Tensor:
    """Spatial frequency `(height, width)` of each pair of frequencies along height and width."""
    return torch.hypot(frequencies[0][:, None], frequencies[1][None, :])


def half_pass(sigma: float) -> float:
    """Frequency, in cycles per value, of which a Gaussian of this standard deviation passes half of the amplitude."""
    return math.sqrt(2 * math.log(2)) / (2 * math.pi * sigma)


def share_above(x: Tensor, cutoff: float, axes: Sequence[int]) -> float:
    """Share of the power of `x` above a frequency along one axis, or along two by the radius; 0 for zeros."""
    frequencies = []
    for axis in axes:
        basis, along_axis = cosines(x.shape[axis])
        x = along(x.double(), basis, axis)
        frequencies.append(along_axis)
    grid = frequencies[0].view(-1, 1, 1) if len(axes) == 1 else radius(frequencies)
    power = x.square()
    return float((power * (grid > cutoff)).sum() / power.sum().clamp(min=torch.finfo(torch.float64).tiny))


def roughness(x: Tensor, sigma: float, axes: Sequence[int], kind: str) -> str | None:
    """Say if a stimulus that was smoothed is rougher than smoothed white noise is, or None.

    A Gaussian passes something of every frequency, so there is no bound that it keeps; smoothed white noise is what it
    makes of a stimulus without any structure.

    Args:
        x: the finished stimulus `(1, channel, time, height, width)`.
        sigma: standard deviation of the Gaussian.
        axes: the axes that were smoothed.
        kind: unit of the frequency, such as "cycles per pixel".
    """
    cutoff = half_pass(sigma)
    if cutoff >= 0.5 or min(x.shape[axis] for axis in axes) < 2:
        return None
    transfer = [_smoothing(x.shape[axis], float(sigma), "reflect", None) for axis in axes]
    passed = [(cosines(len(matrix))[0] @ matrix).square().sum(1) for matrix in transfer]
    frequencies = [cosines(len(matrix))[1] for matrix in transfer]
    power = passed[0] if len(axes) == 1 else passed[0][:, None] * passed[1]
    grid = frequencies[0] if len(axes) == 1 else radius(frequencies)
    noise = float((power * (grid > cutoff)).sum() / power.sum())
    found = share_above(x, cutoff, axes)
    if found <= noise:
        return None
    return f"{found:.2%} of the power lies above {cutoff:.3g} {kind}, where smoothed white noise has {noise:.2%}"
