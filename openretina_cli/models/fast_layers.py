"""The parts of the fast form that all of its layers share, and its readout.

Between layers, features are `(member * channel, time, batch, pixel)`, so that nearly every step is a product of
matrices on memory as it lies: copies would cost as much as the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.spectrum import Grid


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

    def grid(self, height: int, width: int) -> Grid:
        """What the layer does to a field of that size."""
        return Grid(height, width, self.spatial.shape[-1], self.padding)

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


@cache
def _number(value: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number as a tensor, which torch would make of it in every iteration."""
    return torch.tensor(value, dtype=dtype, device=device)


class _Elu(torch.autograd.Function):
    """The published nonlinearity, x above zero and exp(x) - 1 below, over its input.

    Torch's own goes by way of `expm1`, which keeps the digits of results near zero that the next sum rounds away, and
    takes six times as long as `exp`. As exp(x) - 1 is nowhere below x, the larger of both is the result.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Apply it."""
        slope = torch.minimum(x, _number(0, x.dtype, x.device)).exp_()
        ctx.save_for_backward(slope)
        below = slope - _number(1, x.dtype, x.device)
        return torch.maximum(x, below, out=below)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiply by exp(x) below zero, and by 1 above."""
        (slope,) = ctx.saved_tensors
        return torch.mul(gradient, slope)


def applied(nonlinearity: nn.Module, x: Tensor) -> Tensor:
    """The nonlinearity of features; see `_Elu`."""
    if type(nonlinearity) is nn.ELU and nonlinearity.alpha == 1:
        return _Elu.apply(x)  # type: ignore[no-untyped-call, no-any-return]
    result: Tensor = nonlinearity(x)
    return result


class Readout(nn.Module):
    """The readouts of all members for some neurons: masks, weighted sum of channels, softplus, and the members' mean.

    Args:
        masks: `(member, pixel, neuron)`.
        features: weights of the channels `(member, channel, neuron)`.
        bias: `(member, neuron)`.
    """

    masks: Tensor
    features: Tensor
    bias: Tensor
    share: Tensor

    def __init__(self, masks: Tensor, features: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks.contiguous())
        self.register_buffer("features", features[:, :, None])
        self.register_buffer("bias", bias[:, None])
        self.register_buffer("share", torch.full_like(bias[0, :1], 1 / len(bias)))

    def of(self, neurons: Sequence[int]) -> Readout:
        """The readout of some neurons, in their order."""
        some = torch.tensor(neurons, device=self.masks.device)
        return Readout(self.masks[..., some], self.features[:, :, 0, some], self.bias[:, 0, some])

    def forward(self, x: Tensor) -> Tensor:
        """Map features to responses `(batch, time, neuron)`."""
        time, batch = x.shape[1:3]
        members, channels, _, neurons = self.features.shape
        pooled = torch.bmm(x.contiguous().view(members, channels * time * batch, -1), self.masks)
        drive = (pooled.view(members, channels, -1, neurons) * self.features).sum(1) + self.bias
        found = F.softplus(drive).sum(0) * self.share
        return found.view(1, time, neurons) if batch == 1 else found.view(time, batch, neurons).transpose(0, 1)
