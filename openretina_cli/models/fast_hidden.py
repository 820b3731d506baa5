"""The later layers of the fast form: time first, then space, as whichever of two convolutions takes less work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.fast_layers import FoldedLayer, applied, banded
from openretina_cli.models.spectrum import Grid, Spectrum, spectrum

CACHED = 8 << 20
"""Bytes of coefficients in work at a time on a CPU; more would leave its caches before the next step reads them."""
WORTH = 0.6
"""Below this share of the multiplications, products of coefficients take less time than a convolution, which is spared
the zeros around the field. For the published ensemble the share is 0.37, and the time 0.6."""
FEW = 16
"""Below this number of columns a product takes three times as long as its transpose (MKL: 20 and 70 GFLOP/s)."""


def _product(matrices: Tensor, columns: Tensor) -> Tensor:
    """The products `(matrix, row, column)` of matrices with columns."""
    if columns.shape[2] < FEW:
        return torch.bmm(columns.mT, matrices.mT).mT.contiguous()
    return torch.bmm(matrices, columns)


def _seen(traces: Tensor, basis: Tensor, analysis: Tensor, batch: int) -> Tensor:
    """Coefficients `(member, pair * 2, in * function * time' * batch)` of traces `(member * in, time, batch * pixel)`.

    For a single stimulus pixels come first, since their coefficients are fewer before each is filtered several times.
    """
    members, _, pixels = analysis.shape
    if batch > 1:
        return torch.bmm(analysis, torch.bmm(basis, traces).view(members, -1, pixels).mT)
    made = torch.bmm(analysis, traces.reshape(members, -1, pixels).mT)
    own = basis[:: len(basis) // members]
    return torch.bmm(made.view(members, -1, basis.shape[2]), own.mT).view(members, analysis.shape[1], -1)


def _unseen(seen: Tensor, basis: Tensor, analysis: Tensor, out: Tensor) -> None:
    """Write the transpose of `_seen` to traces."""
    members, _, pixels = analysis.shape
    if out.shape[2] > pixels:
        filtered = torch.bmm(seen.mT, analysis)
        torch.bmm(basis.mT, filtered.view(len(basis), basis.shape[1], -1), out=out)
        return
    made = torch.bmm(seen.view(members, -1, basis.shape[1]), basis[:: len(basis) // members])
    torch.bmm(made.view(members, analysis.shape[1], -1).mT, analysis, out=out.view(members, -1, pixels))


class _Matrices(NamedTuple):
    """The constants of one layer of all members.

    Attributes:
        basis: banded matrices `(member * in, function * time', time)`.
        kernels: `(member, pair, 2 * out, 2 * in * function)`.
        analysis: from pixels to coefficients `(pair * 2, pixel)`.
        synthesis: from there to the pixels of the result, transposed, `(pair * 2, pixel')`.
        offset: `(member, out, 1)`, added to one coefficient.
        constant: which one.
    """

    basis: Tensor
    kernels: Tensor
    analysis: Tensor
    synthesis: Tensor
    offset: Tensor
    constant: int

    def parts(self, batch: int) -> Iterator[_Matrices]:
        """A few members at a time, so that what they hand on stays in a CPU's caches."""
        members, _, _, depth = self.kernels.shape
        channels = self.basis.shape[0] // members
        frames = self.basis.shape[1] * channels * 2 // depth
        each = self.analysis.shape[0] * depth // 2 * frames * batch * self.basis.element_size()
        parts = 1 if self.basis.is_cuda else min(math.ceil(members * each / CACHED), members)
        if parts == 1:
            yield self
            return
        step = math.ceil(members / parts)
        for start in range(0, members, step):
            some = slice(start, start + step)
            basis = self.basis[start * channels : (start + step) * channels]
            yield self._replace(basis=basis, kernels=self.kernels[some], offset=self.offset[some])


class _TimeThenSpectrum(torch.autograd.Function):
    """Traces are filtered in time, and the fields that they make up are convolved as Fourier coefficients.

    Written by hand so that every step is a product of matrices without a copy, and nothing is kept for the way back.
    Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrices: _Matrices) -> Tensor:
        """Filter and convolve `(member * in, time, batch, pixel)` to `(member, out * time' * batch, pixel')`."""
        ctx.matrices, ctx.shape = matrices, x.shape
        batch = x.shape[2]
        members, _, outs, _ = matrices.kernels.shape
        rows = matrices.basis.shape[1] * len(matrices.basis) * outs // matrices.kernels.shape[3] // members
        result = x.new_empty(members, rows * batch, matrices.synthesis.shape[1])
        traces, results = x.flatten(2), result
        for basis, kernels, analysis, synthesis, offset, constant in matrices.parts(batch):
            here = len(kernels)
            seen = _seen(traces[: len(basis)], basis, analysis.expand(here, -1, -1), batch)
            products = _product(kernels.flatten(0, 1), seen.view(here * kernels.shape[1], kernels.shape[3], -1))
            products = products.view(here, len(analysis), offset.shape[1], -1)
            products[:, constant] += offset
            torch.bmm(products.flatten(2).mT, synthesis.expand(here, -1, -1), out=results[:here])
            traces, results = traces[len(basis) :], results[here:]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of `x`: every step transposed, from the last to the first."""
        result = gradient.new_empty(ctx.shape)
        gradients, results = gradient, result.flatten(2)
        for basis, kernels, analysis, synthesis, _, _ in ctx.matrices.parts(ctx.shape[2]):
            here = len(kernels)
            products = torch.bmm(synthesis.expand(here, -1, -1), gradients[:here].mT)
            seen = _product(kernels.flatten(0, 1).mT, products.view(here * kernels.shape[1], kernels.shape[2], -1))
            _unseen(seen.view(here, len(analysis), -1), basis, analysis.expand(here, -1, -1), results[: len(basis)])
            gradients, results = gradients[here:], results[len(basis) :]
        return result, None


def _prefers_spectrum(layer: FoldedLayer, grid: Grid) -> bool:
    """Whether Fourier coefficients save enough multiplications."""
    _, outs, ins, functions = layer.weights.shape
    coefficients, pixels, results = 1 + math.prod(grid.period), grid.height * grid.width, math.prod(grid.output)
    direct = outs * ins * functions * grid.size**2 * results
    spectral = coefficients * (ins * functions * pixels + 2 * outs * ins * functions + outs * results)
    return spectral < WORTH * direct


class _SpectralKernels(nn.Module):
    """The kernels of a layer as what Fourier coefficients are multiplied with."""

    analysis: Tensor
    synthesis: Tensor
    kernels: Tensor
    offset: Tensor

    def __init__(self, layer: FoldedLayer, grid: Grid, waves: Spectrum) -> None:
        super().__init__()
        self.constant = waves.constant
        members, outs, ins, functions = layer.weights.shape
        self.register_buffer("analysis", waves.analysis.to(layer.spatial))
        self.register_buffer("synthesis", waves.synthesis.to(layer.spatial))
        self.register_buffer("offset", layer.offset[..., None] * math.prod(grid.period))
        turns = waves.kernels.to(layer.spatial) @ layer.spatial.flatten(3).flatten(0, 2).T
        turns = turns.view(-1, 2, 2, members, outs, ins, 1).permute(3, 0, 1, 4, 2, 5, 6)
        kernels = turns.new_empty(members, waves.pairs, 2, outs, 2, ins, functions)
        torch.mul(turns, layer.weights[:, None, None, :, None], out=kernels)
        self.register_buffer("kernels", kernels.view(members, waves.pairs, 2 * outs, -1))

    def forward(self, x: Tensor, basis: Tensor) -> Tensor:
        """Filter features with a basis and convolve them."""
        matrices = _Matrices(basis, self.kernels, self.analysis, self.synthesis, self.offset, self.constant)
        y: Tensor = _TimeThenSpectrum.apply(x, matrices)  # type: ignore[no-untyped-call]
        return y


class _SpatialKernels(nn.Module):
    """The kernels of a layer as they are."""

    kernels: Tensor
    offset: Tensor

    def __init__(self, layer: FoldedLayer, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.members = len(layer.offset)
        kernels = torch.einsum("moif,moihw->moifhw", layer.weights, layer.spatial)
        self.register_buffer("kernels", kernels.reshape(layer.offset.numel(), -1, 1, grid.size, grid.size))
        self.register_buffer("offset", layer.offset.flatten())

    def forward(self, x: Tensor, basis: Tensor) -> Tensor:
        """Filter features with a basis and convolve them."""
        functions = self.kernels.shape[1] * self.members // len(basis)
        frames = basis.shape[1] // functions * x.shape[2]
        filtered = torch.bmm(basis, x.flatten(2)).view(1, -1, frames, self.grid.height, self.grid.width)
        padding = (0, self.grid.padding, self.grid.padding)
        return F.conv3d(filtered, self.kernels, self.offset, padding=padding, groups=self.members)


class HiddenLayer(nn.Module):
    """One later layer of all members: time first, with the few functions that its temporal kernels are sums of.

    That leaves a convolution in space alone, of at most two thirds of the multiplications (half, for 11 frames).

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
        grid: the field that it is given, and what it makes of it.
    """

    basis: Tensor

    def __init__(self, layer: FoldedLayer, frames: int, grid: Grid) -> None:
        super().__init__()
        self.nonlinearity = layer.nonlinearity
        self.frames = frames - layer.lag
        self.channels = layer.offset.numel()
        # one matrix (function * time', time) for each channel of each member
        basis = banded(layer.basis, frames).flatten(1, 2)
        self.register_buffer("basis", basis.repeat_interleave(layer.weights.shape[2], dim=0))
        self.space: nn.Module = (
            _SpectralKernels(layer, grid, spectrum(grid))
            if _prefers_spectrum(layer, grid)
            else _SpatialKernels(layer, grid)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features, the layer's lag fewer frames."""
        batch = x.shape[2]
        features = applied(self.nonlinearity, self.space(x, self.basis))
        return features.reshape(self.channels, self.frames, batch, -1)
