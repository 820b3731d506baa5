"""The first layer of the fast form: space first, for all members at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.fast_layers import FoldedLayer, applied, banded
from openretina_cli.models.spectrum import Grid

BLOCK = 2
"""Output rows that one product makes, where their number can be divided: with two, the products of a row's kernel with
the `size + 1` rows that both see are a twelfth more, and what comes back from them is half as much."""


class _Constants(NamedTuple):
    """The weights of the layer, ready for products.

    Attributes:
        size: rows and columns of a spatial kernel.
        block: output rows per product.
        spatial: per input channel `(block', out * block, rows seen * size)`, the same for all blocks of output rows.
        turned: the same, transposed.
        temporal: per input channel banded matrices `(out, time', time)`.
        offset: `(out, 1, 1)`, added to the result.
    """

    size: int
    block: int
    spatial: tuple[Tensor, ...]
    turned: tuple[Tensor, ...]
    temporal: tuple[Tensor, ...]
    offset: Tensor


class _Sizes(NamedTuple):
    """The axes of one call."""

    channels: int
    height: int
    batch: int
    width: int
    time: int
    rows: int
    columns: int

    @property
    def row(self) -> int:
        """Values of one row of the result of a kernel, for all stimuli."""
        return self.batch * self.columns * self.time


def _part(x: Tensor, index: int) -> Tensor:
    """One entry of the first axis, as `select` finds it with two operations."""
    return x.as_strided(x.shape[1:], x.stride()[1:], index * x.stride(0))


def _sizes(shape: torch.Size, size: int) -> _Sizes:
    channels, height, batch, width, time = shape
    return _Sizes(channels, height, batch, width, time, height - size + 1, width - size + 1)


class _SpaceThenTime(torch.autograd.Function):
    """A convolution whose kernel is a spatial one times a temporal one for each pair of channels, space first.

    Written by hand because one row of the output sees `size` rows of the input, which overlap from one output row to
    the next: as views of one copy that is unfolded along the width only, they cost `size` times less memory traffic
    than the usual unfolded copy. All stimuli are columns of the same products, so that the number of operations does
    not grow with the batch. Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, stimulus: Tensor, constants: _Constants) -> Tensor:
        """Convolve.

        Args:
            ctx: carries the weights to `backward`.
            stimulus: `(batch, in, time, height, width)`.
            constants: the weights.

        Returns:
            `(out, time', batch, height' * width')`.
        """
        size, block, spatial, _, temporal, result = constants
        x = _copied(stimulus.permute(1, 3, 0, 4, 2))
        ctx.constants, ctx.shape = constants, x.shape
        sizes = _sizes(x.shape, size)
        row, (blocks, outs, seen) = size * sizes.row, spatial[0].shape
        # (in, height, size, batch, width' * time): per row of x, what each column of the kernel meets
        channel, line, image, column, _ = x.stride()
        shape = (sizes.channels, sizes.height, size, sizes.batch, sizes.columns * sizes.time)
        unfolded = _copied(x.as_strided(shape, (channel, line, column, image, 1)))
        maps = _empty((sizes.channels, blocks, outs, sizes.row), x)
        for index, kernels in enumerate(spatial):
            # what blocks of output rows see: overlapping views
            fields = unfolded.as_strided(
                (blocks, seen, sizes.row), (block * row, sizes.row, 1), index * sizes.height * row
            )
            torch.bmm(kernels, fields, out=_part(maps, index))
        blocked = (sizes.channels, blocks, len(result), block, sizes.batch, sizes.columns * sizes.time)
        maps = _copied(maps.view(blocked).permute(0, 2, 4, 1, 3, 5))
        filtered = maps.view(sizes.channels, len(result), -1, sizes.time).transpose(2, 3)
        for index, matrices in enumerate(temporal):
            add = torch.Tensor.baddbmm_ if index else torch.baddbmm  # the offset stays as it is
            result = add(result, matrices, _part(filtered, index))
        return result.view(*result.shape[:2], sizes.batch, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the stimulus: time, then space, each transposed."""
        size, block, _, turned, temporal, _ = ctx.constants
        sizes = _sizes(ctx.shape, size)
        row, (blocks, seen, outs) = size * sizes.row, turned[0].shape
        out = len(gradient)
        traces = _empty((sizes.channels, out, sizes.batch, blocks, block, sizes.columns * sizes.time), gradient)
        filtered = traces.view(sizes.channels, out, -1, sizes.time)
        traced = gradient.contiguous().view(out, gradient.shape[1], -1).transpose(1, 2)
        for index, matrices in enumerate(temporal):
            torch.bmm(traced, matrices, out=_part(filtered, index))
        maps = _copied(traces.permute(0, 3, 1, 4, 2, 5)).view(sizes.channels, blocks, outs, sizes.row)
        fields = _empty((sizes.channels, blocks, seen, sizes.row), gradient)
        for index, kernels in enumerate(turned):
            torch.bmm(kernels, _part(maps, index), out=_part(fields, index))
        return _folded(_rows_folded(fields, sizes, block, row), ctx.shape, sizes).permute(2, 0, 4, 1, 3), None


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """Memory to write a result into."""
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def _copied(x: Tensor) -> Tensor:
    """What a view shows as it lies in memory of its own, as `contiguous` finds it with more operations."""
    return _empty(x.shape, x).copy_(x)


def _rows_folded(fields: Tensor, sizes: _Sizes, block: int, row: int) -> Tensor:
    """What the blocks of output rows saw, `(in, block', rows seen * size, row)`, added up, `(in, height, ...)`."""
    channels, blocks, _, _ = fields.shape
    step, each, of_block = sizes.height * row, fields.stride(0), fields.stride(1)
    unfolded = _empty((channels, sizes.height, row), fields).zero_()
    for index in range(blocks):
        here = unfolded.as_strided((channels, of_block), (step, 1), index * block * row)
        here.add_(fields.as_strided((channels, of_block), (each, 1), index * of_block))
    return unfolded


def _folded(unfolded: Tensor, shape: torch.Size, sizes: _Sizes) -> Tensor:
    """What the columns of the result saw, `(in, height, size * batch * width' * time)`, added up, in a shape."""
    lines, size = shape[0] * shape[1], shape[3] - sizes.columns + 1
    result = _empty(shape, unfolded).zero_()
    part = (lines, sizes.batch, size, sizes.time)
    to = (sizes.batch * sizes.width * sizes.time, sizes.width * sizes.time, sizes.time, 1)
    of = (size * sizes.row, sizes.columns * sizes.time, sizes.row, 1)
    for column in range(sizes.columns):
        place = column * sizes.time
        result.as_strided(part, to, place).add_(unfolded.as_strided(part, of, place))
    return result


def _of_block(kernels: Tensor, block: int) -> Tensor:
    """Kernels `(out, size, size)` as what makes a block of output rows, `(out * block, (size + block - 1) * size)`."""
    outs, size, _ = kernels.shape
    found = kernels.new_zeros(outs, block, size + block - 1, size)
    for place in range(block):
        found[:, place, place : place + size] = kernels
    return found.view(outs * block, -1)


class FirstLayer(nn.Module):
    """The first layers of all members: they see the same stimulus, so theirs is one convolution with many outputs.

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
        grid: the field that it is given, and what it makes of it.
    """

    def __init__(self, layer: FoldedLayer, frames: int, grid: Grid) -> None:
        super().__init__()
        self.padding = grid.padding
        self.nonlinearity = layer.nonlinearity
        rows = grid.output[0]
        block = BLOCK if rows % BLOCK == 0 else 1
        temporal = banded(torch.einsum("moif,mfl->imol", layer.weights, layer.basis).flatten(1, 2), frames)
        spatial = [_of_block(kernels, block) for kernels in layer.spatial.permute(2, 0, 1, 3, 4).flatten(1, 2)]
        every = [kernels.expand(rows // block, -1, -1) for kernels in spatial]
        turned = tuple(kernels.mT for kernels in every)
        offset = layer.offset.reshape(-1, 1, 1)
        self.constants = _Constants(grid.size, block, tuple(every), turned, temporal.unbind(), offset)

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map a stimulus `(batch, in, time, height, width)` to features."""
        x = F.pad(stimulus, (self.padding,) * 4) if self.padding else stimulus
        y: Tensor = _SpaceThenTime.apply(x, self.constants)  # type: ignore[no-untyped-call]
        return applied(self.nonlinearity, y)
