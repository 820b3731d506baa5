"""Two-dimensional Fourier transforms as products with real matrices, one axis after the other.

Fields are `(column, row, rest)` with everything else behind, so that a transform is a product of matrices on memory as
it lies, for any length, and coefficients come out with the frequency first, as the mixing of channels needs them. For
the sizes in question that takes about as long as a fast transform and the copies around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def _waves(period: int, positions: Tensor) -> Tensor:
    """Cosines of frequencies 0 to `period // 2`, then sines of 1 to `period // 2`: `(period, position)`."""
    frequencies = torch.arange(period // 2 + 1, dtype=torch.float64)[:, None]
    phases = frequencies * positions % period * (2 * math.pi / period)
    return torch.cat([phases.cos(), phases[1:].sin()])


def transformed(fields: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply one matrix along the rows of fields and one along the columns.

    Args:
        fields: `(width, height, ...)`, contiguous.
        rows: `(height', height)`.
        columns: `(width', width)`.

    Returns:
        `(width', height', ...)`.
    """
    width, height, *rest = fields.shape
    by_rows = torch.matmul(rows, fields.view(width, height, -1))
    return (columns @ by_rows.view(width, -1)).view(len(columns), len(rows), *rest)


@dataclass(frozen=True)
class Frequencies:
    """The frequencies of fields with two odd periods.

    A complex coefficient is two real numbers. Frequencies are in blocks: both above zero, the column's below zero, the
    row's zero, the column's zero, both zero; the other half of a real field's coefficients are their conjugates.

    Args:
        rows: period of the rows.
        columns: period of the columns.
    """

    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Number of complex coefficients."""
        return (self.rows * self.columns + 1) // 2

    @property
    def paired(self) -> int:
        """Number of coefficients in the first two blocks."""
        return 2 * (self.rows // 2) * (self.columns // 2)

    def analysis(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Matrices for `transformed` from fields to products of waves."""
        return _waves(self.rows, torch.arange(height)), _waves(self.columns, torch.arange(width))

    def synthesis(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Matrices for `transformed` from products of waves to fields, twice too large in the first two blocks."""
        scaled = []
        for period, length in ((self.rows, height), (self.columns, width)):
            waves = _waves(period, torch.arange(length)) / period
            waves[1:] *= 2  # for the conjugates
            scaled.append(waves.T.contiguous())
        return scaled[0], scaled[1]

    def of_kernels(self, kernels: Tensor, before: tuple[int, int]) -> Tensor:
        """What the coefficients of a field are multiplied by, `(frequency, 2, kernel)`: real and imaginary part.

        The first two blocks are halved, to make up for `synthesis`.

        Args:
            kernels: `(kernel, rows, columns)`.
            before: rows and columns of zeros in front of the field.
        """
        shifted = [torch.arange(size) - shift for size, shift in zip(kernels.shape[1:], before, strict=True)]
        rows, columns = _waves(self.rows, shifted[0]).to(kernels), _waves(self.columns, shifted[1]).to(kernels)
        made = self.combined(transformed(kernels.permute(2, 1, 0).contiguous(), rows, columns))
        made[:, 1].neg_()  # a kernel is reflected against the field
        made[: self.paired] *= 0.5
        return made

    def _blocks(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Views of the blocks `(2, column, row, ...)`, `(column, ...)`, `(row, ...)`, `(1, ...)`."""
        rows, columns = self.rows // 2, self.columns // 2
        sizes = [self.paired, columns, rows, 1]
        both, of_columns, of_rows, zero = torch.split(coefficients, sizes)
        return both.view(2, columns, rows, *coefficients.shape[1:]), of_columns, of_rows, zero

    def combined(self, waves: Tensor) -> Tensor:
        """Complex coefficients `(frequency, 2, n)` of products of waves `(column, row, ...)`."""
        waves = waves.flatten(2)
        rows, columns = self.rows // 2 + 1, self.columns // 2 + 1
        made = waves.new_empty(self.count, 2, waves.shape[2])
        both, of_columns, of_rows, zero = self._blocks(made)
        cos_cos, sin_sin = waves[1:columns, 1:rows], waves[columns:, rows:]
        cos_sin, sin_cos = waves[1:columns, rows:], waves[columns:, 1:rows]
        torch.sub(cos_cos, sin_sin, out=both[0, ..., 0, :])
        torch.add(cos_cos, sin_sin, out=both[1, ..., 0, :])
        torch.add(cos_sin, sin_cos, out=both[0, ..., 1, :]).neg_()
        torch.sub(sin_cos, cos_sin, out=both[1, ..., 1, :])
        of_columns[:, 0], of_rows[:, 0], zero[:, 0] = waves[1:columns, 0], waves[0, 1:rows], waves[0, :1]
        torch.neg(waves[columns:, 0], out=of_columns[:, 1])
        torch.neg(waves[0, rows:], out=of_rows[:, 1])
        zero[:, 1] = 0
        return made

    def separated(self, coefficients: Tensor) -> Tensor:
        """The transpose of `combined`: products of waves `(column, row, n)`."""
        rows, columns = self.rows // 2 + 1, self.columns // 2 + 1
        waves = coefficients.new_empty(self.columns, self.rows, coefficients.shape[2])
        both, of_columns, of_rows, zero = self._blocks(coefficients)
        (real, real_other), (imaginary, imaginary_other) = both[..., 0, :], both[..., 1, :]
        torch.add(real, real_other, out=waves[1:columns, 1:rows])
        torch.sub(real_other, real, out=waves[columns:, rows:])
        torch.add(imaginary, imaginary_other, out=waves[1:columns, rows:]).neg_()
        torch.sub(imaginary_other, imaginary, out=waves[columns:, 1:rows])
        waves[1:columns, 0], waves[0, 1:rows], waves[0, :1] = of_columns[:, 0], of_rows[:, 0], zero[:, 0]
        torch.neg(of_columns[:, 1], out=waves[columns:, 0])
        torch.neg(of_rows[:, 1], out=waves[0, rows:])
        return waves
