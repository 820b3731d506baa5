"""The fast form of an ensemble: the same responses for one session, response window and set of neurons, sooner.

What does not depend on the stimulus is computed once (temporal kernels at the session's speed, batch norm, readout
masks), all members run as one, frames that cannot reach the window are left out, and weights are constants.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError, SettingError
from openretina_cli.models.architecture import NONLINEARITIES
from openretina_cli.models.convolution import SeparableConvolution, temporal_basis
from openretina_cli.models.fast_first import FirstLayer
from openretina_cli.models.fast_hidden import HiddenLayer
from openretina_cli.models.fast_layers import FoldedLayer, Readout
from openretina_cli.models.readout import GaussianReadout
from openretina_cli.models.twin import ChannelBias, Core, EnsembleModel, Layer, Retina, Twin, the_session

logger = logging.getLogger(__name__)


class FastRetina(nn.Module):
    """The responses of some neurons in one window, for inference; see `fast_form`.

    Args:
        layers: the layers of all members.
        readout: from the last layer to responses.
        frames: stimulus frames.
        window: the response frames `[start, stop)`.
        field: rows and columns of the stimulus.
    """

    def __init__(
        self,
        layers: Sequence[FoldedLayer],
        readout: Readout,
        frames: int,
        window: tuple[int, int],
        field: tuple[int, int],
    ) -> None:
        super().__init__()
        start, stop = window
        self.frames = frames
        self.seen = slice(start, stop + sum(layer.lag for layer in layers))
        self.layers = nn.Sequential()
        left = self.seen.stop - start
        for layer in layers:
            grid = layer.grid(*field)
            self.layers.append((HiddenLayer if self.layers else FirstLayer)(layer, left, grid))
            left -= layer.lag
            field = grid.output
        self.readout = readout

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to responses `(batch, window, neuron)`.

        Raises:
            ModelError: the stimulus has another number of frames than the fast form was made for.
        """
        if stimulus.shape[2] != self.frames:
            raise ModelError(f"the stimulus has {stimulus.shape[2]} frames", expected=f"{self.frames}")
        responses: Tensor = self.readout(self.layers(stimulus[:, :, self.seen]))
        return responses


class _CannotFoldError(Exception):
    """Why a model has no fast form."""


def _fold_norm(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and offset `(channel,)` that a frozen batch norm amounts to."""
    if type(norm) is not nn.BatchNorm3d or norm.training or norm.affine:
        raise _CannotFoldError(f"{norm} is no frozen batch norm without weights")
    if norm.running_mean is None or norm.running_var is None:
        raise _CannotFoldError(f"{norm} keeps no statistics")
    gain = torch.rsqrt(norm.running_var + norm.eps)
    return gain, -norm.running_mean * gain


def _fold_layer(layer: nn.Module, session: str) -> FoldedLayer:
    if type(layer) is not Layer or not 3 <= len(layer) <= 4:
        raise _CannotFoldError(f"{type(layer).__name__} is no published layer")
    convolution, norm, *biases, nonlinearity = layer
    if type(convolution) is not SeparableConvolution:
        raise _CannotFoldError(f"{type(convolution).__name__} is no published convolution")
    if type(nonlinearity) not in NONLINEARITIES.values():
        raise _CannotFoldError(f"{nonlinearity} is no published nonlinearity")
    gain, offset = _fold_norm(norm)
    for bias in biases:
        if type(bias) is not ChannelBias:
            raise _CannotFoldError(f"{type(bias).__name__} is no bias")
        offset = offset + bias.bias.flatten()
    sines, cosines = temporal_basis(convolution.get_parameter(f"log_speed_{session}"), convolution.length)
    # the sine of frequency zero is nothing, and is left out
    weights = torch.cat([convolution.sin_weights[..., 1:], convolution.cos_weights], dim=-1) * gain[:, None, None]
    basis = torch.cat([sines[1:], cosines])
    return FoldedLayer(convolution.weight_spatial[:, :, 0], weights, basis, offset, convolution.padding, nonlinearity)


def _fold_readout(readout: nn.Module, neurons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `(neuron, height, width)`, feature weights `(channel, neuron)` and bias `(neuron,)` of some neurons."""
    if type(readout) is not GaussianReadout:
        raise _CannotFoldError(f"{type(readout).__name__} is no Gaussian readout")
    features = readout.features[0, :, 0, neurons]
    if readout.scale is not None:
        features = features * readout.scale[neurons]
    return readout.masks()[neurons], features, readout.bias[neurons]


def _members(retina: Retina) -> list[Twin]:
    if type(retina) is not EnsembleModel:
        raise _CannotFoldError(f"{type(retina).__name__} is no ensemble")
    members = [member for member in retina.members if type(member) is Twin and type(member.core) is Core]
    if not members or len(members) != len(retina.members):
        raise _CannotFoldError("its members are no published networks")
    return members


def _fold(retina: Retina, session: str, neurons: Tensor) -> tuple[list[FoldedLayer], Readout]:
    members = _members(retina)
    cores = [[_fold_layer(layer, session) for layer in [*m.core.features][: m.core.depth]] for m in members]
    if any([layer.shape for layer in core] != [layer.shape for layer in cores[0]] for core in cores):
        raise _CannotFoldError("its members differ in architecture")
    readouts = zip(*(_fold_readout(m.readout[session], neurons) for m in members), strict=True)
    layers = [FoldedLayer.of_members(layers) for layers in zip(*cores, strict=True)]
    return layers, Readout(*map(torch.stack, readouts))


@torch.no_grad()
def fast_form(
    retina: Retina, session: str, neurons: Sequence[int] | None, frames: int, window: tuple[int, int] | None
) -> FastRetina | None:
    """Make a module that answers as `retina(stimulus, data_key=session)[:, start:stop, neurons]` does, but sooner.

    It agrees to float32 rounding, in the response and in its gradient with respect to the stimulus; the gradient is
    exactly zero in frames that do not reach the window. Later changes of the retina do not reach it.

    Args:
        retina: the model, frozen; the fast form is made on its device and in its precision.
        session: the session.
        neurons: the neurons asked for, in that order; None means all of the session.
        frames: stimulus frames.
        window: the response frames `[start, stop)` asked for; None means all.

    Returns:
        The fast form, or None for a model whose modules it does not know; the log says which.

    Raises:
        ModelError: the model has no such session.
        SettingError: the window is empty, or outside the response.
    """
    session = the_session(retina.facts.sessions, session)
    chosen = list(range(retina.facts.sessions[session]) if neurons is None else neurons)
    try:
        layers, readout = _fold(retina, session, torch.tensor(chosen))
    except _CannotFoldError as reason:
        logger.info("No fast form: %s. The plain form is used.", reason)
        return None
    length = frames - sum(layer.lag for layer in layers)
    start, stop = window or (0, length)
    if not 0 <= start < stop <= length:
        raise SettingError(f"the window [{start}, {stop}) is outside the response, which has {max(length, 0)} frames")
    return FastRetina(layers, readout, frames, (start, stop), (retina.facts.height, retina.facts.width))
