"""The convolutions of openretina's cores, with their kernels worked out once.

A `Convolution` maps `(batch, in, time, height, width)` to `(batch, out, time', height', width')`, without bias. It
keeps its kernel as the factors that the checkpoint holds, from which the fast form takes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.convolution import FRAMES_PER_FREQUENCY, temporal_basis
from openretina_cli.models.core_readout.weights import Weights
from openretina_cli.models.fast_layers import banded

Shape = tuple[int, int, int]
"""Lengths in time, height and width."""


@dataclass(frozen=True)
class Padding:
    """Zeros before and after, in time, height and width.

    Attributes:
        before: zeros before the first element of each axis.
        after: zeros after the last one.
    """

    before: Shape = (0, 0, 0)
    after: Shape = (0, 0, 0)

    @classmethod
    def same(cls, kernel: Shape) -> Padding:
        """What leaves the lengths as they are; of an odd number of zeros the larger half comes after, as in torch."""
        before = tuple((length - 1) // 2 for length in kernel)
        after = tuple(length - 1 - first for length, first in zip(kernel, before, strict=True))
        return cls(before, after)  # type: ignore[arg-type]  # three lengths

    def output(self, shape: Shape, kernel: Sequence[int]) -> Shape:
        """The lengths that a convolution makes of some lengths."""
        lengths = zip(shape, kernel, self.before, self.after, strict=True)
        return tuple(n + first + last - size + 1 for n, size, first, last in lengths)  # type: ignore[return-value]

    def around(self, x: Tensor) -> Tensor:
        """Features with zeros around them."""
        sides = [side for pair in zip(self.before[::-1], self.after[::-1], strict=True) for side in pair]
        return F.pad(x, sides) if any(sides) else x

    def convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Convolve with `(out, in, length, rows, columns)`."""
        return F.conv3d(self.around(x), kernel)


PaddingSetting = bool | int | str | tuple[int, int, int]
"""What the settings say: true or "same", false or "valid", zeros on each side of every axis, or of each axis."""


def read_padding(setting: PaddingSetting, kernel: Shape) -> Padding:
    """The padding that a setting means for a kernel."""
    if setting is True or setting == "same":
        return Padding.same(kernel)
    if setting is False or setting == "valid":
        return Padding()
    sides = setting if isinstance(setting, tuple) else (int(setting),) * 3
    return Padding(sides, sides)


@dataclass(frozen=True)
class ConvolutionSpec:
    """What the settings say about one convolution.

    Attributes:
        inputs: channels of the input.
        outputs: channels of the output.
        length: frames of the kernel.
        size: rows and columns of the kernel.
        padding: the setting of the padding.
    """

    inputs: int
    outputs: int
    length: int
    size: int
    padding: PaddingSetting

    @property
    def kernel(self) -> Shape:
        """Lengths of the kernel."""
        return self.length, self.size, self.size


class Convolution(nn.Module, ABC):
    """A convolution of a known kind.

    Args:
        steps: padding and lengths of the kernel, of one convolution after the other.
        weights: by name.
    """

    def __init__(self, *steps: tuple[Padding, Sequence[int]], **weights: Tensor) -> None:
        super().__init__()
        self.steps = steps
        for name, weight in weights.items():
            self.register_buffer(name, weight)

    def output(self, shape: Shape) -> Shape:
        """The lengths that it makes of some lengths."""
        for padding, kernel in self.steps:
            shape = padding.output(shape, kernel)
        return shape

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""


class DenseConvolution(Convolution):
    """One kernel over time and space: conventional, or of one frame.

    Args:
        kernel: `(out, in, length, rows, columns)`.
        padding: zeros around the input.
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor, padding: Padding) -> None:
        super().__init__((padding, kernel.shape[2:]), kernel=kernel)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Convolution
        return self.padding.convolve(x, self.kernel)


class PairwiseConvolution(Convolution):
    """A temporal kernel times a spatial one for each pair of channels (Höfling et al. 2024, eLife 13:e86860).

    Space comes first, then time, for one channel of the input after the other: a dense convolution with such kernels
    takes up to twenty times as many operations.

    Args:
        temporal: `(out, in, length)`.
        spatial: `(out, in, rows, columns)`.
        padding: zeros around the input.
    """

    temporal: Tensor
    spatial: Tensor

    def __init__(self, temporal: Tensor, spatial: Tensor, padding: Padding) -> None:
        super().__init__((padding, (*temporal.shape[2:], *spatial.shape[2:])), temporal=temporal, spatial=spatial)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Convolution
        time, height, width = self.output(x.shape[2:])  # type: ignore[arg-type]  # three lengths
        padded = self.padding.around(x)
        frames = padded.shape[2]
        filters = banded(self.temporal, frames)
        result = x.new_zeros(len(x), len(self.spatial), time, height * width)
        for channel, seen in enumerate(padded.unbind(1)):
            maps = F.conv2d(seen.flatten(0, 1)[:, None], self.spatial[:, channel, None])
            maps = maps.view(len(x), frames, len(self.spatial), -1).transpose(1, 2)
            result = result + torch.matmul(filters[:, channel], maps)
        return result.view(*result.shape[:3], height, width)


class SequentialConvolution(Convolution):
    """A spatial convolution, then a temporal one over the channels that it makes.

    Args:
        spatial: `(out, in, 1, rows, columns)`.
        temporal: `(out, out, length, 1, 1)`.
        around_spatial: zeros around the input.
        around_temporal: zeros around what the spatial convolution makes.
    """

    spatial: Tensor
    temporal: Tensor

    def __init__(self, spatial: Tensor, temporal: Tensor, around_spatial: Padding, around_temporal: Padding) -> None:
        steps = (around_spatial, spatial.shape[2:]), (around_temporal, temporal.shape[2:])
        super().__init__(*steps, spatial=spatial, temporal=temporal)
        self.around_spatial, self.around_temporal = around_spatial, around_temporal

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Convolution
        return self.around_temporal.convolve(self.around_spatial.convolve(x, self.spatial), self.temporal)


def _custom_separable(weights: Weights, name: str, spec: ConvolutionSpec) -> Convolution:
    pair = (spec.outputs, spec.inputs)
    frequencies = spec.length // FRAMES_PER_FREQUENCY
    sines, cosines = (weights.take(f"{name}.{kind}_weights", *pair, frequencies) for kind in ("sin", "cos"))
    spatial = weights.take(f"{name}.weight_spatial", *pair, 1, spec.size, spec.size)[:, :, 0]
    sine_basis, cosine_basis = temporal_basis(weights.take(f"{name}._log_speed_default", 1), spec.length)
    return PairwiseConvolution(
        sines @ sine_basis + cosines @ cosine_basis, spatial, read_padding(spec.padding, spec.kernel)
    )


def _separable(weights: Weights, name: str, spec: ConvolutionSpec) -> Convolution:
    speed = weights.take(f"{name}._log_speed_default", 1).exp()
    rows, frames = (1, spec.size, spec.size), (spec.length, 1, 1)
    spatial = weights.take(f"{name}.space_conv.weight", spec.outputs, spec.inputs, *rows)
    temporal = weights.take(f"{name}.time_conv.weight", spec.outputs, spec.outputs, *frames) * speed
    return SequentialConvolution(
        spatial, temporal, read_padding(spec.padding, rows), read_padding(spec.padding, frames)
    )


def _full(weights: Weights, name: str, spec: ConvolutionSpec) -> Convolution:
    weights.drop(f"{name}._log_speed_default")  # saved, and without effect in this kind
    kernel = weights.take(f"{name}.conv.weight", spec.outputs, spec.inputs, *spec.kernel)
    return DenseConvolution(kernel, read_padding(spec.padding, spec.kernel))


def _time_independent(weights: Weights, name: str, spec: ConvolutionSpec) -> Convolution:
    rows = (1, spec.size, spec.size)
    kernel = weights.take(f"{name}.conv.weight", spec.outputs, spec.inputs, *rows)
    return DenseConvolution(kernel, read_padding(spec.padding, rows))


CONVOLUTIONS = {
    "custom_separable": _custom_separable,
    "separable": _separable,
    "full": _full,
    "time_independent": _time_independent,
}
"""How the weights of each convolution type become one."""


def read_convolution(kind: str, weights: Weights, name: str, spec: ConvolutionSpec) -> Convolution:
    """Take the weights of a convolution.

    Args:
        kind: one of `CONVOLUTIONS`.
        weights: the state dict.
        name: the convolution's place in it.
        spec: what the settings say.

    Raises:
        ModelError: the weights do not fit the settings.
    """
    return CONVOLUTIONS[kind](weights, name, spec)
