"""The later layers of the fast form: time first, then space, as whichever of two convolutions takes less work."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.fast_layers import FoldedLayer, applied, banded
from openretina_cli.models.spectrum import Grid, spectrum

WORTH = 0.6
"""Below this share of the multiplications, products of coefficients take less time than a convolution, which is spared
the zeros around the field. For the published ensemble the share is 0.37, and the time 0.6."""


FEW = 16
"""Below this number of columns a product takes three times as long as its transpose (MKL: 20 and 70 GFLOP/s)."""


def _product(matrices: Tensor, turned: Tensor, columns: Tensor) -> Tensor:
    """The products `(matrix, row, column)` of matrices, which are given transposed as well, with columns."""
    if columns.shape[2] < FEW:
        found = torch.bmm(columns.transpose(1, 2), turned).transpose(1, 2)
        return torch.empty(found.shape, dtype=found.dtype, device=found.device).copy_(found)
    return torch.bmm(matrices, columns)


class _Matrices(NamedTuple):
    """The constants of one layer of all members; those that all members share are expanded to them.

    Attributes:
        basis: banded matrices `(member * in, function * time', time)`.
        kernels: `(member * pair, 2 * out, 2 * in * function)`.
        analysis: from pixels to coefficients `(member, pair * 2, pixel)`.
        synthesis: from there to the pixels of the result, transposed, `(member, pair * 2, pixel')`.
        offset: `(member, out, 1)`, added to one coefficient.
        constant: which one.
        turned: basis and kernels, transposed.
    """

    basis: Tensor
    kernels: Tensor
    analysis: Tensor
    synthesis: Tensor
    offset: Tensor
    constant: int
    turned: tuple[Tensor, Tensor]


class _TimeThenSpectrum(torch.autograd.Function):
    """Traces are filtered in time, and the fields that they make up are convolved as Fourier coefficients.

    Written by hand so that every step is a product of matrices without a copy, and nothing is kept for the way back.
    Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrices: _Matrices) -> Tensor:
        """Filter and convolve `(member * in, time, batch, pixel)` to `(member * out, time', batch, pixel')`."""
        ctx.matrices, ctx.shape = matrices, x.shape
        basis, kernels, analysis, synthesis, offset, constant, (_, kernels_turned) = matrices
        members, coefficients, pixels = analysis.shape
        filtered = torch.bmm(basis, x.flatten(2)).view(members, -1, pixels)
        seen = torch.bmm(analysis, filtered.transpose(1, 2)).view(len(kernels), kernels.shape[2], -1)
        products = _product(kernels, kernels_turned, seen).view(members, coefficients, -1)
        each, rest = products.stride(1), products.shape[2] // offset.shape[1]
        products.as_strided((*offset.shape[:2], rest), (coefficients * each, rest, 1), constant * each).add_(offset)
        result = torch.bmm(products.transpose(1, 2), synthesis)
        return result.view(members * offset.shape[1], -1, x.shape[2], synthesis.shape[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of `x`: every step transposed, from the last to the first."""
        basis, kernels, analysis, synthesis, _, _, (basis_turned, kernels_turned) = ctx.matrices
        members, coefficients, _ = analysis.shape
        gradient = gradient.contiguous().view(members, -1, synthesis.shape[2])
        products = torch.bmm(synthesis, gradient.transpose(1, 2)).view(len(kernels), kernels.shape[1], -1)
        seen = _product(kernels_turned, kernels, products).view(members, coefficients, -1)
        filtered = torch.bmm(seen.transpose(1, 2), analysis).view(len(basis), basis.shape[1], -1)
        return torch.bmm(basis_turned, filtered).view(ctx.shape), None


def _prefers_spectrum(layer: FoldedLayer, grid: Grid) -> bool:
    """Whether Fourier coefficients save enough multiplications."""
    _, outs, ins, functions = layer.weights.shape
    coefficients, pixels, results = 1 + math.prod(grid.period), grid.height * grid.width, math.prod(grid.output)
    direct = outs * ins * functions * grid.size**2 * results
    spectral = coefficients * (ins * functions * pixels + 2 * outs * ins * functions + outs * results)
    return spectral < WORTH * direct


class _SpectralKernels(nn.Module):
    """The kernels of a layer as what Fourier coefficients are multiplied with."""

    def __init__(self, layer: FoldedLayer, grid: Grid, basis: Tensor) -> None:
        super().__init__()
        waves = spectrum(grid)
        members, outs, ins, functions = layer.weights.shape
        turns = waves.kernels.to(layer.spatial) @ layer.spatial.flatten(3).flatten(0, 2).T
        turns = turns.view(-1, 2, 2, members, outs, ins, 1).permute(3, 0, 1, 4, 2, 5, 6)
        kernels = turns.new_empty(members, waves.pairs, 2, outs, 2, ins, functions)
        torch.mul(turns, layer.weights[:, None, None, :, None], out=kernels)
        kernels = kernels.view(members * waves.pairs, 2 * outs, -1)
        analysis, synthesis = (
            some.to(layer.spatial).expand(members, -1, -1) for some in (waves.analysis, waves.synthesis)
        )
        offset = layer.offset[..., None] * math.prod(grid.period)
        turned = basis.mT, kernels.mT
        self.matrices = _Matrices(basis, kernels, analysis, synthesis, offset, waves.constant, turned)

    def forward(self, x: Tensor) -> Tensor:
        """Filter features with a basis and convolve them."""
        y: Tensor = _TimeThenSpectrum.apply(x, self.matrices)  # type: ignore[no-untyped-call]
        return y


class _SpatialKernels(nn.Module):
    """The kernels of a layer as they are."""

    kernels: Tensor
    offset: Tensor
    basis: Tensor

    def __init__(self, layer: FoldedLayer, grid: Grid, basis: Tensor) -> None:
        super().__init__()
        self.grid = grid
        self.members = len(layer.offset)
        self.register_buffer("basis", basis)
        kernels = torch.einsum("moif,moihw->moifhw", layer.weights, layer.spatial)
        self.register_buffer("kernels", kernels.reshape(layer.offset.numel(), -1, 1, grid.size, grid.size))
        self.register_buffer("offset", layer.offset.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Filter features with a basis and convolve them."""
        basis = self.basis
        functions = self.kernels.shape[1] * self.members // len(basis)
        frames = basis.shape[1] // functions * x.shape[2]
        filtered = torch.bmm(basis, x.flatten(2)).view(1, -1, frames, self.grid.height, self.grid.width)
        padding = (0, self.grid.padding, self.grid.padding)
        found = F.conv3d(filtered, self.kernels, self.offset, padding=padding, groups=self.members)
        return found.reshape(len(self.offset), -1, x.shape[2], math.prod(self.grid.output))


class HiddenLayer(nn.Module):
    """One later layer of all members: time first, with the few functions that its temporal kernels are sums of.

    That leaves a convolution in space alone, of at most two thirds of the multiplications (half, for 11 frames).

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
        grid: the field that it is given, and what it makes of it.
    """

    def __init__(self, layer: FoldedLayer, frames: int, grid: Grid) -> None:
        super().__init__()
        self.nonlinearity = layer.nonlinearity
        # one matrix (function * time', time) for each channel of each member
        basis = banded(layer.basis, frames).flatten(1, 2)
        basis = basis.repeat_interleave(layer.weights.shape[2], dim=0)
        self.space = (_SpectralKernels if _prefers_spectrum(layer, grid) else _SpatialKernels)(layer, grid, basis)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features, the layer's lag fewer frames."""
        return applied(self.nonlinearity, self.space(x))
