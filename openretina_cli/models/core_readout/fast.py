"""The fast form of core + readout models: the same responses for some neurons in one window, sooner.

What does not depend on the stimulus is worked out once, members run as one, and only the frames and pixels that reach
the window and the neurons asked for are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.core_readout.convolution import (
    Convolution,
    DenseConvolution,
    PairwiseConvolution,
    SequentialConvolution,
)
from openretina_cli.models.core_readout.core import Core, Layer
from openretina_cli.models.core_readout.fast_convolution import FoldedConvolution, KernelCache
from openretina_cli.models.core_readout.fast_layers import FoldedLayer, Ranges, ToPixels
from openretina_cli.models.core_readout.fast_small import small_form
from openretina_cli.models.core_readout.readout import MaskReadout, PointReadout, Readout
from openretina_cli.models.fast_form import CannotFoldError, FastForm, Window
from openretina_cli.models.fast_layers import Readout as FoldedReadout

if TYPE_CHECKING:
    from openretina_cli.models.core_readout.model import Member

NEGLIGIBLE = 3e-7
"""Temporal functions weaker than this share of the strongest are rounding errors of the weights."""


RISING = (nn.ELU, nn.ReLU, nn.LeakyReLU, nn.Softplus, nn.SELU, nn.CELU, nn.Tanh, nn.Sigmoid, nn.Identity)
"""Nonlinearities that may change places with pooling."""


def _compressed(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """The few functions of time that kernels `(..., length)` are sums of, and their weights `(..., function)`."""
    flat = kernels.flatten(0, -2).cpu().double()
    strengths, functions = torch.linalg.eigh(flat.T @ flat)
    basis = functions[:, strengths > NEGLIGIBLE**2 * strengths[-1]].T
    basis = (basis if len(basis) else functions[:, -1:].T).to(kernels)
    return basis, kernels @ basis.T


def _fold_pairwise(convolutions: Sequence[PairwiseConvolution], gain: Tensor) -> list[FoldedConvolution]:
    spatial = torch.stack([convolution.spatial for convolution in convolutions])
    temporal = torch.stack([convolution.temporal for convolution in convolutions])
    basis, weights = _compressed(temporal * gain[:, :, None, None])
    kernels = weights[..., None, None] * spatial[:, :, :, None]
    padding = convolutions[0].padding
    return [FoldedConvolution(kernels, basis, padding.before, padding.after, (spatial, weights))]


def _fold_dense(convolutions: Sequence[DenseConvolution], gain: Tensor) -> list[FoldedConvolution]:
    kernels = torch.stack([convolution.kernel for convolution in convolutions]) * gain[..., None, None, None, None]
    basis, weights = _compressed(kernels.movedim(3, -1))
    padding = convolutions[0].padding
    return [FoldedConvolution(weights.movedim(-1, 3), basis, padding.before, padding.after)]


def _fold_sequential(convolutions: Sequence[SequentialConvolution], gain: Tensor) -> list[FoldedConvolution]:
    first, spatial = convolutions[0], torch.stack([convolution.spatial for convolution in convolutions])
    temporal = torch.stack([convolution.temporal for convolution in convolutions])[..., 0, 0]
    basis, weights = _compressed(temporal * gain[:, :, None, None])
    around, between = first.around_spatial, first.around_temporal
    return [
        FoldedConvolution(spatial, spatial.new_ones(1, 1), around.before, around.after),
        FoldedConvolution(weights[..., None, None], basis, between.before, between.after),
    ]


FOLDS = {
    PairwiseConvolution: _fold_pairwise,
    DenseConvolution: _fold_dense,
    SequentialConvolution: _fold_sequential,
}


def _fold_layer(layers: Sequence[nn.Module]) -> FoldedLayer:
    """Fold one layer of all members.

    Raises:
        CannotFoldError: it is of a kind that is not known here.
    """
    first = layers[0]
    if not all(type(layer) is Layer for layer in layers):
        raise CannotFoldError(f"{type(first).__name__} depends on its own past")
    found: list[Layer] = list(layers)  # type: ignore[arg-type]  # which was checked
    kinds = {type(layer.convolution) for layer in found}
    nonlinearity = found[0].nonlinearity
    if found[0].pool and nonlinearity is not None and type(nonlinearity) not in RISING:
        raise CannotFoldError(f"{nonlinearity} does not change places with pooling")
    fold = FOLDS[kinds.pop()]
    gain, offset = (torch.stack([getattr(layer, name) for layer in found]) for name in ("gain", "offset"))
    convolutions: list[Convolution] = [layer.convolution for layer in found]
    return FoldedLayer(fold(convolutions, gain), offset, nonlinearity, found[0].pool)  # type: ignore[operator]


def _structure(core: Core) -> tuple[object, ...]:
    """What cores must have in common to run as one."""
    shapes = [(name, value.shape) for name, value in core.named_buffers()]
    kinds = [(type(module), repr(vars(module).get("steps")), vars(module).get("pool")) for module in core.modules()]
    return core.cut, core.downsample, str(core), tuple(map(str, shapes)), tuple(map(str, kinds))


class _Prelude(nn.Module):
    """Cuts out of a stimulus what is seen, and squashes and averages it as the core does.

    Args:
        core: the core of any member; the others do the same.
        seen: ranges of the squashed and averaged stimulus.
    """

    squash: Tensor | None

    def __init__(self, core: Core, seen: Ranges) -> None:
        super().__init__()
        self.downsample = core.downsample
        self.register_buffer("squash", core.squash)
        steps = self.downsample or (1, 1, 1)
        self.seen = [slice(part.start * step, part.stop * step) for part, step in zip(seen, steps, strict=True)]

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map `(batch, channel, time, height, width)` to features `(batch, width, height, 1, time, channel)`."""
        x = stimulus[:, :, self.seen[0], self.seen[1], self.seen[2]]
        if self.squash is not None and x.shape[1] > 1:
            x = (x * self.squash.view(-1, 1, 1, 1)).sum(1, keepdim=True)
        if self.downsample is not None:
            x = F.avg_pool3d(x, self.downsample)
        return x.permute(0, 4, 3, 2, 1)[:, :, :, None].contiguous()


class _ToMembers(nn.Module):
    """Tells the channels of the members apart, after the first convolution of all of them."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, width, height, 1, time, member * channel)` to one channel axis per member."""
        apart = x.view(*x.shape[:3], x.shape[4], self.members, -1)
        return apart.transpose(3, 4) if self.members > 1 else apart.view(*x.shape[:3], 1, *x.shape[4:])


class _Mean(nn.Module):
    """The mean response of readouts that look at the stimulus itself."""

    def __init__(self, readouts: Sequence[Readout]) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(readouts)

    def forward(self, x: Tensor) -> Tensor:
        """Map stimuli to responses `(batch, time, neuron)`."""
        return torch.stack([readout(x) for readout in self.readouts]).mean(0)


def _masks(readout: nn.Module, neurons: Sequence[int], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `(height, width, neuron)`, weights `(channel, neuron)` and bias of some neurons.

    Raises:
        CannotFoldError: the readout is of another kind.
    """
    chosen = torch.tensor(list(neurons))
    if type(readout) is MaskReadout:
        return readout.masks[..., chosen], readout.weights[:, chosen], readout.bias[chosen]
    if type(readout) is PointReadout:
        return readout.masks(height, width)[..., chosen], readout.weights[:, chosen], readout.bias[chosen]
    raise CannotFoldError(f"{type(readout).__name__} has no masks")


def _box(masks: Tensor) -> tuple[range, range]:
    """Rows and columns outside of which `(member, height, width, neuron)` masks are zero."""
    used = (masks != 0).any(0).any(-1)
    rows, columns = used.any(1).nonzero().flatten(), used.any(0).nonzero().flatten()
    if not len(rows):
        return range(0, 1), range(0, 1)
    return range(int(rows[0]), int(rows[-1]) + 1), range(int(columns[0]), int(columns[-1]) + 1)


class FoldedModel:
    """What of a model's core does not depend on the stimulus, and the fast forms that are made of it.

    Args:
        members: the networks, frozen; later changes of them do not reach the fast forms.
        field: rows and columns of the stimulus.

    Raises:
        CannotFoldError: a part of the core is of a kind that is not known here, or the members differ.
    """

    @torch.no_grad()
    def __init__(self, members: Sequence[Member], field: tuple[int, int]) -> None:
        cores = [member.core for member in members]
        if len({_structure(core) for core in cores}) != 1:
            raise CannotFoldError("its members differ in architecture")
        self.members = members
        self.field = field
        self.core = cores[0]
        stacks = zip(*(core.layers for core in cores), strict=True)
        self.layers = [_fold_layer(layers) for layers in stacks]
        # all members see the same stimulus, so that their first convolutions are one
        self._shared = [
            replace(layer, convolutions=[layer.convolutions[0].of_one_input(), *layer.convolutions[1:]])
            if layer is self.layers[0]
            else layer
            for layer in self.layers
        ]
        self._kernels: KernelCache = {}

    def _shapes(self, frames: int) -> list[list[tuple[int, int, int]]]:
        """Lengths that every convolution is given, by layer; the last of a layer's are those of its result."""
        steps = self.core.downsample or (1, 1, 1)
        time, height, width = (n // step for n, step in zip((frames, *self.field), steps, strict=True))
        shape, shapes = (time, height, width), []
        for layer in self.layers:
            shapes.append(layer.shapes(shape))
            shape = shapes[-1][-1]
        return shapes

    @torch.no_grad()
    def form(self, session: str, neurons: Sequence[int], frames: int, window: Window) -> nn.Module:
        """Make a fast form; see `Retina.fast_form`."""
        cut = self.core.cut
        readouts = [member.readout(session) for member in self.members]
        chosen = [some for readout in readouts if (some := readout.of(neurons)) is not None]
        if not self.layers and len(chosen) == len(readouts):
            seen = slice(window[0] + cut, window[1] + cut + chosen[0].lag)
            return FastForm(nn.Sequential(), _Mean(chosen), frames, seen)
        _, height, width = self.core.output((frames, *self.field))
        parts = zip(*(_masks(readout, neurons, height, width) for readout in readouts), strict=True)
        masks, weights, bias = map(torch.stack, parts)
        rows, columns = _box(masks)
        whole = FoldedReadout(masks.flatten(1, 2), weights, bias)
        if small := small_form(self.layers, self.core, whole, self._shapes(frames), window):
            return small
        ranges: Ranges = (range(window[0] + cut, window[1] + cut), rows, columns)
        steps: list[nn.Module] = []
        kernels: KernelCache = {}
        for layer, shapes in zip(self._shared[::-1], self._shapes(frames)[::-1], strict=True):
            spans, ranges = layer.spans(ranges, shapes)
            steps[:0] = layer.modules(spans, self._kernels, kernels)
        self._kernels = kernels  # those of another part of the field are let go, since they may be large
        steps[1:1] = [_ToMembers(len(self.members))] if steps else []
        cropped = masks[:, rows.start : rows.stop, columns.start : columns.stop].transpose(1, 2)
        layers = nn.Sequential(_Prelude(self.core, ranges), *steps, ToPixels(len(self.members)))
        return FastForm(layers, FoldedReadout(cropped.flatten(1, 2), weights, bias), frames, slice(None))
