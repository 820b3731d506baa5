"""The fast form of an ensemble: the same responses for one session, response window and set of neurons, sooner.

What does not depend on the stimulus is computed once (temporal kernels at the session's speed, batch norm, readout
masks), all members run as one, frames that cannot reach the window are left out, and weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from openretina_cli.models.architecture import NONLINEARITIES
from openretina_cli.models.convolution import SeparableConvolution, temporal_basis
from openretina_cli.models.fast_first import FirstLayer
from openretina_cli.models.fast_form import CannotFoldError, FastForm, Window
from openretina_cli.models.fast_hidden import HiddenLayer
from openretina_cli.models.fast_layers import FoldedLayer, Readout
from openretina_cli.models.readout import GaussianReadout
from openretina_cli.models.twin import ChannelBias, Core, Layer, Twin

M = TypeVar("M", bound=nn.Module)


def _known(module: object, kind: type[M], what: str) -> M:
    """The module, if it is of exactly that class; subclasses may compute something else.

    Raises:
        CannotFoldError: it is of another class.
    """
    if type(module) is not kind:
        raise CannotFoldError(f"{type(module).__name__} is no {what}")
    return module


def _fold_norm(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and offset `(channel,)` that a frozen batch norm amounts to."""
    norm = _known(module, nn.BatchNorm3d, "batch norm")
    if norm.training or norm.affine or norm.running_mean is None or norm.running_var is None:
        raise CannotFoldError(f"{norm} is no frozen batch norm without weights")
    gain = torch.rsqrt(norm.running_var + norm.eps)
    return gain, -norm.running_mean * gain


def _fold_layer(layer: nn.Module, session: str) -> FoldedLayer:
    first, norm, *biases, nonlinearity = _known(layer, Layer, "published layer").children()
    convolution = _known(first, SeparableConvolution, "published convolution")
    if type(nonlinearity) not in NONLINEARITIES.values():
        raise CannotFoldError(f"{type(nonlinearity).__name__} is no published nonlinearity")
    gain, offset = _fold_norm(norm)
    for bias in biases:
        offset = offset + _known(bias, ChannelBias, "bias").bias.flatten()
    sines, cosines = temporal_basis(convolution.get_parameter(f"log_speed_{session}"), convolution.length)
    # the sine of frequency zero is nothing, and is left out
    weights = torch.cat([convolution.sin_weights[..., 1:], convolution.cos_weights], dim=-1) * gain[:, None, None]
    basis = torch.cat([sines[1:], cosines])
    return FoldedLayer(convolution.weight_spatial[:, :, 0], weights, basis, offset, convolution.padding, nonlinearity)


def _fold_readout(module: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `(pixel, neuron)`, feature weights `(channel, neuron)` and bias `(neuron,)`."""
    readout = _known(module, GaussianReadout, "Gaussian readout")
    features = readout.features[0, :, 0]
    if readout.scale is not None:
        features = features * readout.scale
    return readout.masks().flatten(1).T, features, readout.bias.detach()


def layers_of(folded: Sequence[FoldedLayer], frames: int, field: tuple[int, int]) -> nn.Sequential:
    """Modules that take so many stimulus frames of a field of rows and columns."""
    layers = nn.Sequential()
    for layer in folded:
        grid = layer.grid(*field)
        layers.append((HiddenLayer if layers else FirstLayer)(layer, frames, grid))
        frames -= layer.lag
        field = grid.output
    return layers


class FoldedEnsemble:
    """Folds twins, and makes fast forms of what is found; what fast forms share is made once.

    Args:
        members: the twins, frozen; fast forms are made on their device and in their precision, and later changes of
            the twins do not reach them.
        field: rows and columns of the stimulus.

    Raises:
        CannotFoldError: a member is no published network.
    """

    def __init__(self, members: Sequence[nn.Module], field: tuple[int, int]) -> None:
        self.twins = [_known(member, Twin, "published network") for member in members]
        self.cores = [_known(twin.core, Core, "published core") for twin in self.twins]
        self.field = field
        self._of_session = cache(self._fold)
        self._made = cache(self._make)

    @torch.no_grad()
    def form(self, session: str, neurons: Sequence[int], frames: int, window: Window) -> FastForm:
        """Make a fast form; see `Retina.fast_form`."""
        layers, readout = self._of_session(session)
        seen = slice(window[0], window[1] + sum(layer.lag for layer in layers))
        return FastForm(self._made(session, seen.stop - seen.start), readout.of(neurons), frames, seen)

    def _fold(self, session: str) -> tuple[list[FoldedLayer], Readout]:
        """The layers of all members, and the readout of all neurons."""
        cores = [[_fold_layer(layer, session) for layer in [*core.features][: core.depth]] for core in self.cores]
        if any([layer.shape for layer in core] != [layer.shape for layer in cores[0]] for core in cores):
            raise CannotFoldError("its members differ in architecture")
        readouts = zip(*(_fold_readout(twin.readout[session]) for twin in self.twins), strict=True)
        layers = [FoldedLayer.of_members(layers) for layers in zip(*cores, strict=True)]
        return layers, Readout(*map(torch.stack, readouts))

    def _make(self, session: str, frames: int) -> nn.Sequential:
        return layers_of(self._of_session(session)[0], frames, self.field)
