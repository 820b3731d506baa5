"""The first layer of the fast form: space first, for all members at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.fast_layers import FoldedLayer, applied, banded
from openretina_cli.models.spectrum import Grid


def _seen_by_rows(unfolded: Tensor, rows: int, size: int) -> Tensor:
    """What output rows see, `(batch, rows, size * size, row)`: overlapping views of `(batch, height, size, row)`."""
    batch, height, _, row = unfolded.shape
    shape, strides = (batch, rows, size**2, row), (height * size * row, size * row, row, 1)
    return unfolded.as_strided(shape, strides, unfolded.storage_offset())


class _SpaceThenTime(torch.autograd.Function):
    """A convolution whose kernel is a spatial one times a temporal one for each pair of channels, space first.

    Written by hand because one row of the output sees `size` rows of the input, which overlap from one output row to
    the next: as views of one copy that is unfolded along the width only, they cost `size` times less memory traffic
    than the usual unfolded copy. Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, spatial: Tensor, temporal: Tensor, offset: Tensor, shifts: Tensor) -> Tensor:
        """Convolve.

        Args:
            ctx: carries the weights to `backward`.
            x: `(in, batch, height, width, time)`.
            spatial: `(in, size * size, out)`.
            temporal: banded matrices `(in, out, time', time)`.
            offset: `(out, 1, 1)`, added to the result.
            shifts: `(width, size * width')`, one where a column of the kernel meets a column of the input.

        Returns:
            `(out, time', batch * height' * width')`.
        """
        ctx.save_for_backward(spatial, temporal, shifts)
        ctx.shape = x.shape
        (channels, batch, height, width, time), (_, area, out) = x.shape, spatial.shape
        size = round(area**0.5)
        rows, columns = height - size + 1, width - size + 1
        # (in, batch, height, size, width' * time): per row of x, what each column of the kernel meets
        unfolded = x.unfold(3, size, 1).permute(0, 1, 2, 5, 3, 4).contiguous()
        unfolded = unfolded.view(channels, batch, height, size, columns * time)
        result = offset.repeat(1, temporal.shape[2], batch * rows * columns)
        maps = x.new_empty(out, batch, rows, columns * time)
        for channel in range(channels):
            seen, kernels = _seen_by_rows(unfolded[channel], rows, size), spatial[channel].mT
            # the fewer, larger calls: all rows of a stimulus, or one row of all stimuli
            apart = 0 if batch < rows else 1
            for part, filtered in zip(seen.unbind(apart), maps.unbind(apart + 1), strict=True):
                torch.bmm(kernels.expand(len(part), -1, -1), part, out=filtered.transpose(0, 1))
            result.baddbmm_(temporal[channel], maps.view(out, -1, time).mT)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Gradient of `x`: time, then space, each transposed."""
        spatial, temporal, shifts = ctx.saved_tensors
        (channels, batch, height, width, time), (_, area, out) = ctx.shape, spatial.shape
        size = round(area**0.5)
        rows, columns = height - size + 1, width - size + 1
        # (in * batch, ...): what is unfolded, and the gradient of every map
        unfolded = gradient.new_zeros(channels * batch, height * size, columns * time)
        maps = gradient.new_empty(channels, out, batch, rows, columns * time)
        for filtered, filters in zip(maps, temporal, strict=True):
            torch.bmm(gradient.mT, filters, out=filtered.view(out, -1, time))
        maps = maps.transpose(1, 2).reshape(channels * batch, out, rows, -1)
        kernels = spatial[:, None].expand(-1, batch, -1, -1).reshape(-1, area, out)
        for row in range(rows):
            unfolded[:, row * size : row * size + area].baddbmm_(kernels, maps[:, :, row])
        folded = torch.matmul(shifts, unfolded.view(channels, batch, height, size * columns, time))
        return folded, None, None, None, None


class FirstLayer(nn.Module):
    """The first layers of all members: they see the same stimulus, so theirs is one convolution with many outputs.

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
        grid: the field that it is given, and what it makes of it.
    """

    spatial: Tensor
    temporal: Tensor
    offset: Tensor
    shifts: Tensor

    def __init__(self, layer: FoldedLayer, frames: int, grid: Grid) -> None:
        super().__init__()
        self.padding = grid.padding
        self.nonlinearity = layer.nonlinearity
        temporal = torch.einsum("moif,mfl->imol", layer.weights, layer.basis)
        self.register_buffer("spatial", layer.spatial.permute(2, 3, 4, 0, 1).flatten(3).flatten(1, 2).contiguous())
        self.register_buffer("temporal", banded(temporal.flatten(1, 2), frames))
        self.register_buffer("offset", layer.offset.reshape(-1, 1, 1))
        columns = torch.arange(grid.output[1])
        met = (torch.arange(grid.size)[:, None] + columns).flatten()
        self.register_buffer("shifts", (torch.arange(grid.width + 2 * grid.padding)[:, None] == met).to(layer.offset))

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map a stimulus `(batch, in, time, height, width)` to features."""
        padded = F.pad(stimulus, (self.padding,) * 4) if self.padding else stimulus
        x, weights = padded.permute(1, 0, 3, 4, 2).contiguous(), (self.spatial, self.temporal, self.offset)
        y: Tensor = _SpaceThenTime.apply(x, *weights, self.shifts)  # type: ignore[no-untyped-call]
        return applied(self.nonlinearity, y).view(*y.shape[:2], len(stimulus), -1)
