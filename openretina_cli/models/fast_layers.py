"""The parts of the fast form: layers of many members at once, with weights that are constants.

Between layers, features are `(member * channel, time, batch, height, width)`, so that nearly every step is a product of
matrices on memory as it lies: copies would cost as much as the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class FoldedLayer:
    """One layer, with nothing left to prepare; of one member, or of all with `member` as first axis of its tensors.

    Attributes:
        spatial: spatial kernels `(out, in, size, size)`.
        weights: of the basis functions in each temporal kernel, times the batch norm's gain, `(out, in, function)`.
        basis: the functions that temporal kernels are sums of, `(function, length)`.
        offset: `(out,)`, added before the nonlinearity.
        padding: pixels of zero padding on each side.
        nonlinearity: applied to each element.
    """

    spatial: Tensor
    weights: Tensor
    basis: Tensor
    offset: Tensor
    padding: int
    nonlinearity: nn.Module

    @property
    def lag(self) -> int:
        """Frames that the layer drops."""
        return self.basis.shape[-1] - 1

    @property
    def shape(self) -> tuple[object, ...]:
        """What layers of several members must have in common to run as one."""
        return self.spatial.shape, self.weights.shape, self.basis.shape, self.padding, repr(self.nonlinearity)

    @classmethod
    def of_members(cls, layers: Sequence[FoldedLayer]) -> FoldedLayer:
        """The same layer of all members as one."""
        return cls(
            torch.stack([layer.spatial for layer in layers]),
            torch.stack([layer.weights for layer in layers]),
            torch.stack([layer.basis for layer in layers]),
            torch.stack([layer.offset for layer in layers]),
            layers[0].padding,
            layers[0].nonlinearity,
        )


def banded(kernels: Tensor, frames: int) -> Tensor:
    """The matrices that convolve a trace of `frames` frames with kernels, as `matrix @ trace`.

    Args:
        kernels: `(..., length)`.
        frames: number of frames of the trace.

    Returns:
        `(..., frames - length + 1, frames)`.
    """
    length = kernels.shape[-1]
    matrices = kernels.new_zeros(*kernels.shape[:-1], frames - length + 1, frames)
    for start in range(frames - length + 1):
        matrices[..., start, start : start + length] = kernels
    return matrices


class _SpaceThenTime(torch.autograd.Function):
    """A convolution whose kernel is a spatial one times a temporal one for each pair of channels, space first.

    Written by hand because one row of the output sees `size` rows of the input, which overlap from one output row to
    the next: as views of one copy that is unfolded along the width only, they cost `size` times less memory traffic
    than the usual unfolded copy. Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, spatial: Tensor, temporal: Tensor, offset: Tensor) -> Tensor:
        """Convolve.

        Args:
            ctx: carries the weights to `backward`.
            x: `(in, height, width, batch, time)`.
            spatial: `(in, out, size, size)`.
            temporal: banded matrices `(in, out, time', time)`.
            offset: `(out, 1, 1)`, added to the result.

        Returns:
            `(out, time', height' * width' * batch)`.
        """
        ctx.save_for_backward(spatial, temporal)
        ctx.shape = x.shape
        (channels, height, width, batch, time), (_, out, size, _) = x.shape, spatial.shape
        rows, row = height - size + 1, (width - size + 1) * batch * time
        # (in, height, size, width', batch, time): per row of x, what each column of the kernel meets
        unfolded = x.unfold(2, size, 1).permute(0, 1, 5, 2, 3, 4).contiguous().view(channels, height * size, row)
        seen = unfolded.as_strided((channels, rows, size**2, row), (height * size * row, size * row, row, 1))
        result = offset.repeat(1, temporal.shape[2], rows * row // time)
        maps = x.new_empty(out, rows, row)
        for channel in range(channels):
            kernels = spatial[channel].reshape(out, size**2).expand(rows, -1, -1)
            torch.bmm(kernels, seen[channel], out=maps.transpose(0, 1))
            result.baddbmm_(temporal[channel], maps.view(out, -1, time).mT)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient of `x`: time, then space, each transposed."""
        spatial, temporal = ctx.saved_tensors
        (channels, height, width, batch, time), (_, out, size, _) = ctx.shape, spatial.shape
        rows, columns = height - size + 1, width - size + 1
        unfolded = gradient.new_zeros(channels, height, size, columns * batch * time)
        for channel in range(channels):
            maps = torch.bmm(gradient.mT, temporal[channel]).view(out, rows, -1)
            kernels = spatial[channel].reshape(out, size**2).t()
            for row in range(rows):
                seen = unfolded[channel, row : row + size].flatten(0, 1)
                seen.addmm_(kernels, maps[:, row])
        unfolded = unfolded.view(channels, height, size, columns, batch, time)
        folded = gradient.new_zeros(ctx.shape)
        for column in range(size):
            folded[:, :, column : column + columns] += unfolded[:, :, column]
        return folded, None, None, None


class FirstLayer(nn.Module):
    """The first layers of all members: they see the same stimulus, so theirs is one convolution with many outputs.

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
    """

    spatial: Tensor
    temporal: Tensor
    offset: Tensor

    def __init__(self, layer: FoldedLayer, frames: int) -> None:
        super().__init__()
        self.padding = layer.padding
        self.nonlinearity = layer.nonlinearity
        temporal = torch.einsum("moif,mfl->imol", layer.weights, layer.basis)
        self.register_buffer("spatial", layer.spatial.flatten(0, 1).transpose(0, 1).contiguous())
        self.register_buffer("temporal", banded(temporal.flatten(1, 2), frames))
        self.register_buffer("offset", layer.offset.reshape(-1, 1, 1))

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map a stimulus `(batch, in, time, height, width)` to features."""
        batch, size = len(stimulus), self.spatial.shape[-1]
        x = F.pad(stimulus, (self.padding,) * 4).permute(1, 3, 4, 0, 2).contiguous()
        height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
        y: Tensor = _SpaceThenTime.apply(x, self.spatial, self.temporal, self.offset)  # type: ignore[no-untyped-call]
        features: Tensor = self.nonlinearity(y)
        return features.view(*y.shape[:2], height, width, batch).permute(0, 1, 4, 2, 3)


class HiddenLayer(nn.Module):
    """One later layer of all members: time first, with the few functions that its temporal kernels are sums of.

    That leaves a convolution in space alone, of at most two thirds of the multiplications (half, for 11 frames).

    Args:
        layer: the layer of all members.
        frames: number of frames that it is given.
    """

    basis: Tensor
    kernels: Tensor
    offset: Tensor

    def __init__(self, layer: FoldedLayer, frames: int) -> None:
        super().__init__()
        self.members, _, channels, size, _ = layer.spatial.shape
        self.padding = layer.padding
        self.nonlinearity = layer.nonlinearity
        self.frames = frames - layer.lag
        # one matrix (function * time', time) for each channel of each member
        basis = banded(layer.basis, frames).flatten(1, 2)
        self.register_buffer("basis", basis.repeat_interleave(channels, dim=0))
        kernels = torch.einsum("moif,moihw->moifhw", layer.weights, layer.spatial)
        self.register_buffer("kernels", kernels.reshape(len(layer.offset.flatten()), -1, 1, size, size))
        self.register_buffer("offset", layer.offset.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features, the layer's lag fewer frames."""
        batch, height, width = x.shape[2:]
        filtered = torch.bmm(self.basis, x.flatten(2)).view(1, -1, self.frames * batch, height, width)
        padding = (0, self.padding, self.padding)
        y = F.conv3d(filtered, self.kernels, self.offset, padding=padding, groups=self.members)
        features: Tensor = self.nonlinearity(y)
        return features.reshape(y.shape[1], self.frames, batch, *y.shape[3:])


class Readout(nn.Module):
    """The readouts of all members for some neurons: masks, weighted sum of channels, softplus, and the members' mean.

    Args:
        masks: `(member, neuron, height, width)`.
        features: weights of the channels `(member, channel, neuron)`.
        bias: `(member, neuron)`.
    """

    masks: Tensor
    features: Tensor
    bias: Tensor

    def __init__(self, masks: Tensor, features: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks.flatten(2).mT.contiguous())
        self.register_buffer("features", features[:, :, None])
        self.register_buffer("bias", bias[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map features to responses `(batch, time, neuron)`."""
        time, batch = x.shape[1:3]
        members, channels, _, neurons = self.features.shape
        pooled = torch.bmm(x.reshape(members, channels * time * batch, -1), self.masks)
        drive = (pooled.view(members, channels, -1, neurons) * self.features).sum(1) + self.bias
        return F.softplus(drive).mean(0).view(time, batch, neurons).transpose(0, 1)
