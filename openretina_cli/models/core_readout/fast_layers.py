"""The steps of the fast form, on features `(batch, width, height, member, time, channel)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.core_readout.fast_convolution import (
    FoldedConvolution,
    KernelCache,
    PointwiseConvolution,
    SpatialKernels,
    SpectralConvolution,
)
from openretina_cli.models.core_readout.fast_range import Span, needed
from openretina_cli.models.fast_layers import applied

Ranges = tuple[range, range, range]
"""Frames, rows and columns."""


class Rectifier(nn.Module):
    """Adds an offset per channel and applies a nonlinearity, both over their input.

    Args:
        offset: `(member, channel)`.
        nonlinearity: applied to each element; None is the identity.
    """

    offset: Tensor

    def __init__(self, offset: Tensor, nonlinearity: nn.Module | None) -> None:
        super().__init__()
        self.register_buffer("offset", offset[:, None])
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        """Rectify features, which nothing else holds."""
        x = x.add_(self.offset)
        return x if self.nonlinearity is None else applied(self.nonlinearity, x)


class Pool(nn.Module):
    """Keeps the largest of every two by two pixels; an odd last column or row is left out."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool features."""
        pooled = F.max_pool2d(x.flatten(3).permute(0, 3, 1, 2), 2)  # pixels stay where they are in memory
        return pooled.permute(0, 2, 3, 1).view(len(x), pooled.shape[2], pooled.shape[3], *x.shape[3:])


class ToPixels(nn.Module):
    """Brings features into the order in which `fast_layers.Readout` takes them.

    Args:
        members: number of members, which share features that no layer has changed.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """Map features to `(member * channel, time, batch, width * height)`."""
        apart = x.expand(*x.shape[:3], self.members, *x.shape[4:]).permute(3, 5, 4, 0, 1, 2)
        return apart.flatten(4).flatten(0, 1)


@dataclass(frozen=True)
class FoldedLayer:
    """One layer of all members.

    Attributes:
        convolutions: one after the other.
        offset: `(member, out)`.
        nonlinearity: applied to each element; None is the identity.
        pool: whether the largest of every two by two pixels is kept.
    """

    convolutions: Sequence[FoldedConvolution]
    offset: Tensor
    nonlinearity: nn.Module | None
    pool: bool

    def shapes(self, shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        """Lengths that the convolutions are given, and those of the result."""
        shapes = [shape]
        for convolution in self.convolutions:
            shapes.append(convolution.output(shapes[-1]))
        time, height, width = shapes[-1]
        return [*shapes[:-1], (time, height // 2, width // 2) if self.pool else (time, height, width)]

    def spans(self, outputs: Ranges, shapes: Sequence[tuple[int, int, int]]) -> tuple[list[tuple[Span, ...]], Ranges]:
        """What the convolutions must do for some outputs, and what of the layer's input that takes."""
        ranges = outputs
        if self.pool:
            ranges = (outputs[0], *(range(2 * pixels.start, 2 * pixels.stop) for pixels in outputs[1:]))  # type: ignore[assignment]
        spans: list[tuple[Span, ...]] = []
        for convolution, shape in zip(self.convolutions[::-1], shapes[-2::-1], strict=True):
            axes = zip(ranges, convolution.sizes, convolution.before, shape, strict=True)
            spans.insert(0, tuple(needed(*axis) for axis in axes))
            ranges = tuple(range(span.start, span.stop) for span in spans[0])  # type: ignore[assignment]
        return spans, ranges

    def modules(self, spans: Sequence[tuple[Span, ...]], old: KernelCache, new: KernelCache) -> list[nn.Module]:
        """The steps of the layer.

        Args:
            spans: what the convolutions do.
            old: spatial kernels that were made before.
            new: takes the spatial kernels that the steps use.
        """
        steps: list[nn.Module] = []
        for convolution, (time, rows, columns) in zip(self.convolutions, spans, strict=True):
            if convolution.sizes[1:] == (1, 1):
                steps.append(PointwiseConvolution(convolution, (time, rows, columns)))
                continue
            key = (id(convolution), rows.anywhere, columns.anywhere)
            new[key] = space = old.get(key) or SpatialKernels.of(convolution, rows, columns)
            steps.append(SpectralConvolution(convolution, time, space, (rows.outputs, columns.outputs)))
        # the largest of some numbers stays the largest under what rises with it, and leaves a quarter of them
        if self.pool:
            steps.append(Pool())
        steps.append(Rectifier(self.offset, self.nonlinearity))
        return steps
