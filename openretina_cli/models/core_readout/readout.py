"""The readouts of openretina: what turns the core's features into the responses of one session's neurons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_VARIANCE = 1e-6
"""Local contrast is the root of a variance of at least this."""


class Readout(nn.Module, ABC):
    """The readout of one session.

    Attributes:
        lag: frames that it drops.
    """

    lag = 0

    def __init__(self, **weights: Tensor) -> None:
        super().__init__()
        for name, weight in weights.items():
            self.register_buffer(name, weight)

    def of(self, neurons: Sequence[int]) -> Readout | None:
        """The readout of some neurons, in their order, where that is a readout of the same kind."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map features `(batch, channel, time, height, width)` to responses `(batch, time, neuron)`."""


class MaskReadout(Readout):
    """Softplus of features that are pooled over space with a mask per neuron.

    Args:
        masks: `(height, width, neuron)`.
        weights: `(channel, neuron)`.
        bias: `(neuron,)`.
    """

    masks: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, masks: Tensor, weights: Tensor, bias: Tensor) -> None:
        super().__init__(masks=masks, weights=weights, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Readout
        pooled = x.flatten(3) @ self.masks.flatten(0, 1)
        return F.softplus(torch.einsum("bctn,cn->btn", pooled, self.weights) + self.bias)


class PointReadout(Readout):
    """Softplus of features at one point per neuron, interpolated between pixels.

    Args:
        points: `(neuron, 2)`, column and row, from -1 to 1 over the field.
        weights: `(channel, neuron)`.
        bias: `(neuron,)`.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
    """

    points: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, points: Tensor, weights: Tensor, bias: Tensor, align_corners: bool) -> None:
        super().__init__(points=points, weights=weights, bias=bias)
        self.align_corners = align_corners

    def masks(self, height: int, width: int) -> Tensor:
        """What the interpolation weighs the pixels of a field with, `(height, width, neuron)`."""
        indices = []
        for position, length in zip(self.points.unbind(1), (width, height), strict=True):
            last = (length - 1) if self.align_corners else length
            indices.append((position + 1) / 2 * last - (0 if self.align_corners else 0.5))
        columns, rows = (
            (1 - (index - torch.arange(length).to(index)[:, None]).abs()).clamp(min=0)
            for index, length in zip(indices, (width, height), strict=True)
        )
        return rows[:, None] * columns

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Readout
        batch, _, time = x.shape[:3]
        frames = x.transpose(1, 2).flatten(0, 1)
        points = self.points[None, :, None].expand(len(frames), -1, -1, -1)
        seen = F.grid_sample(frames, points, align_corners=self.align_corners)[..., 0]
        return F.softplus((seen * self.weights).sum(1) + self.bias).view(batch, time, -1)


class LinearReadout(Readout):
    """A nonlinearity of the inner product of each frame with one kernel per neuron.

    Args:
        kernel: `(neuron, channel, height, width)`.
        bias: `(neuron,)`.
        nonlinearity: of each element.
        gain: of the result, `(neuron,)`.
        offset: added to the result, `(neuron,)`.
    """

    kernel: Tensor
    bias: Tensor
    gain: Tensor
    offset: Tensor

    def __init__(
        self, kernel: Tensor, bias: Tensor, nonlinearity: Callable[[Tensor], Tensor], gain: Tensor, offset: Tensor
    ) -> None:
        super().__init__(kernel=kernel, bias=bias, gain=gain, offset=offset)
        self.nonlinearity = nonlinearity

    def of(self, neurons: Sequence[int]) -> Readout:  # noqa: D102  # see Readout
        some = list(neurons)
        parts = self.gain[some], self.offset[some]
        return LinearReadout(self.kernel[some], self.bias[some], self.nonlinearity, *parts)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Readout
        drive = torch.einsum("bcthw,nchw->btn", x, self.kernel) + self.bias
        return self.nonlinearity(drive) * self.gain + self.offset


class ContrastReadout(Readout):
    """A softplus of the mean and the local contrast of the temporally filtered stimulus under a spatial filter.

    Args:
        temporal: `(neuron, length)`.
        spatial: `(neuron, height, width)`, each divided by its sum.
        contrast: weight of the local contrast `(neuron,)`.
        nonlinearity: `(3, neuron)`: a, b and c of `a * softplus(b * x + c)`.
    """

    temporal: Tensor
    spatial: Tensor
    contrast: Tensor
    nonlinearity: Tensor

    def __init__(self, temporal: Tensor, spatial: Tensor, contrast: Tensor, nonlinearity: Tensor) -> None:
        super().__init__(temporal=temporal, spatial=spatial, contrast=contrast, nonlinearity=nonlinearity)
        self.lag = temporal.shape[1] - 1

    def of(self, neurons: Sequence[int]) -> Readout:  # noqa: D102  # see Readout
        some = list(neurons)
        return ContrastReadout(self.temporal[some], self.spatial[some], self.contrast[some], self.nonlinearity[:, some])

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # see Readout
        a, b, c = self.nonlinearity
        moments = [self._moments(x, neuron) for neuron in range(len(self.spatial))]
        mean, square = (torch.stack(moment, -1) for moment in zip(*moments, strict=True))
        contrast = torch.sqrt((square - mean.square()).clamp(min=LEAST_VARIANCE))
        response: Tensor = a * F.softplus(b * (mean + self.contrast * contrast) + c)
        return response

    def _moments(self, x: Tensor, neuron: int) -> tuple[Tensor, Tensor]:
        """Mean and mean square `(batch, time)` of one neuron, so that few filtered stimuli are in memory at a time."""
        filtered = F.conv3d(x, self.temporal[neuron, None, None, :, None, None])[:, 0].flatten(2)
        weights = self.spatial[neuron].flatten()
        return filtered @ weights, filtered.square() @ weights
