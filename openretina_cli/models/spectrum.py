"""Convolution in space as products of Fourier coefficients, written with real matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """What a convolution of a field does to its shape.

    Attributes:
        height: rows of the field.
        width: columns of the field.
        size: rows and columns of the kernel.
        padding: zeros on each side of the field.
    """

    height: int
    width: int
    size: int
    padding: int

    @property
    def output(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        lost = self.size - 1 - 2 * self.padding
        return self.height - lost, self.width - lost

    @property
    def period(self) -> tuple[int, int]:
        """Rows and columns after which a field may repeat itself: where kernels reach over one side, they meet zeros.

        The zeros on one side serve the other side as well.
        """
        return self.height + self.padding, self.width + self.padding


@dataclass(frozen=True)
class Spectrum:
    """The matrices that convolve fields on one grid, for `pairs` of coefficients each.

    A pair is the real and the imaginary part at one frequency, or the coefficients of two frequencies that have a real
    part only (such as zero). The products of coefficients with a kernel's are a matrix of 2 x 2 for each pair.

    Attributes:
        analysis: from fields to coefficients, `(pair * 2, height * width)`.
        synthesis: from coefficients to the convolved fields, transposed, `(pair * 2, height' * width')`.
        kernels: from kernels to their matrices, `(pair * 2 * 2, size * size)`.
        constant: the row whose coefficient is the sum over a field.
    """

    analysis: Tensor
    synthesis: Tensor
    kernels: Tensor
    constant: int

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.analysis) // 2


def _phases(frequencies: Tensor, period: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Angles `(frequency, rows * columns)` at the pixels of some rows and columns."""
    row, column = (
        (frequency[:, None] * places % length).double() / length
        for frequency, places, length in zip(frequencies.T, (rows, columns), period, strict=True)
    )
    turns: Tensor = row[:, :, None] + column[:, None, :]
    return 2 * math.pi * turns.flatten(1)


def _frequencies(period: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The frequencies of real fields `(frequency, 2)`: complex ones, of two mirror images one, then real ones."""
    rows, columns = period
    every = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    mirrored = -every % torch.tensor(period)
    own, other = (pair[:, 0] * columns + pair[:, 1] for pair in (every, mirrored))
    return every[own < other], every[own == other]


def _paired(waves: Tensor) -> Tensor:
    """Real frequencies in twos; the last has a partner of zeros if need be."""
    return torch.cat([waves, waves.new_zeros(len(waves) % 2, waves.shape[1])])


def _basis(complex_phases: Tensor, real_phases: Tensor) -> Tensor:
    both = torch.stack([complex_phases.cos(), -complex_phases.sin()], dim=1).flatten(0, 1)
    return torch.cat([both, _paired(real_phases.cos())])


def _products(complex_phases: Tensor, real_phases: Tensor) -> Tensor:
    """Matrices of the products with a kernel, `(pair * 2 * 2, size * size)`."""
    cosine, sine = complex_phases.cos(), complex_phases.sin()
    turns = torch.stack([cosine, -sine, sine, cosine], dim=1).flatten(0, 1)
    first, second = _paired(real_phases.cos()).unflatten(0, (-1, 2)).unbind(1)  # type: ignore[no-untyped-call]
    nothing = torch.zeros_like(first)
    return torch.cat([turns, torch.stack([first, nothing, nothing, second], dim=1).flatten(0, 1)])


@lru_cache(maxsize=16)
def spectrum(grid: Grid) -> Spectrum:
    """The matrices for a grid, in float64 on the CPU; not to be changed, since all who ask share them."""
    frequencies, period = _frequencies(grid.period), grid.period
    seen, result, kernel = (
        [_phases(some, period, torch.arange(rows) - shift, torch.arange(columns) - shift) for some in frequencies]
        for rows, columns, shift in (
            (grid.height, grid.width, 0),
            (*grid.output, 0),
            (grid.size, grid.size, grid.padding),
        )
    )
    twice = 2 * len(frequencies[0])
    synthesis = _basis(*result) / math.prod(period)
    synthesis[:twice] *= 2  # for the mirror images
    return Spectrum(_basis(*seen), synthesis, _products(*kernel), twice)
