"""What of a model does not depend on the stimulus, computed once: kernels, batch norm and readouts of all members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from openretina_cli.models.architecture import NONLINEARITIES
from openretina_cli.models.convolution import SeparableConvolution, temporal_basis
from openretina_cli.models.fast_layers import FoldedLayer, Readout
from openretina_cli.models.readout import GaussianReadout
from openretina_cli.models.twin import ChannelBias, Core, EnsembleModel, Layer, Retina, Twin


class CannotFoldError(Exception):
    """Why a model has no fast form."""


def _fold_norm(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and offset `(channel,)` that a frozen batch norm amounts to."""
    if type(norm) is not nn.BatchNorm3d or norm.training or norm.affine:
        raise CannotFoldError(f"{norm} is no frozen batch norm without weights")
    if norm.running_mean is None or norm.running_var is None:
        raise CannotFoldError(f"{norm} keeps no statistics")
    gain = torch.rsqrt(norm.running_var + norm.eps)
    return gain, -norm.running_mean * gain


def _fold_layer(layer: nn.Module, session: str) -> FoldedLayer:
    if type(layer) is not Layer or not 3 <= len(layer) <= 4:
        raise CannotFoldError(f"{type(layer).__name__} is no published layer")
    convolution, norm, *biases, nonlinearity = layer
    if type(convolution) is not SeparableConvolution:
        raise CannotFoldError(f"{type(convolution).__name__} is no published convolution")
    if type(nonlinearity) not in NONLINEARITIES.values():
        raise CannotFoldError(f"{nonlinearity} is no published nonlinearity")
    gain, offset = _fold_norm(norm)
    for bias in biases:
        if type(bias) is not ChannelBias:
            raise CannotFoldError(f"{type(bias).__name__} is no bias")
        offset = offset + bias.bias.flatten()
    sines, cosines = temporal_basis(convolution.get_parameter(f"log_speed_{session}"), convolution.length)
    # the sine of frequency zero is nothing, and is left out
    weights = torch.cat([convolution.sin_weights[..., 1:], convolution.cos_weights], dim=-1) * gain[:, None, None]
    basis = torch.cat([sines[1:], cosines])
    return FoldedLayer(convolution.weight_spatial[:, :, 0], weights, basis, offset, convolution.padding, nonlinearity)


def _fold_readout(readout: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `(pixel, neuron)`, feature weights `(channel, neuron)` and bias `(neuron,)`."""
    if type(readout) is not GaussianReadout:
        raise CannotFoldError(f"{type(readout).__name__} is no Gaussian readout")
    features = readout.features[0, :, 0]
    if readout.scale is not None:
        features = features * readout.scale
    return readout.masks().flatten(1).T, features, readout.bias.detach()


def _members(retina: Retina) -> list[Twin]:
    if not isinstance(retina, EnsembleModel) or type(retina).forward is not EnsembleModel.forward:
        raise CannotFoldError(f"{type(retina).__name__} is no ensemble whose members are averaged")
    members = [member for member in retina.members if type(member) is Twin and type(member.core) is Core]
    if not members or len(members) != len(retina.members):
        raise CannotFoldError("its members are no published networks")
    return members


@dataclass(frozen=True)
class Folded:
    """One session of a model.

    Attributes:
        layers: of all members.
        readout: of all neurons.
    """

    layers: Sequence[FoldedLayer]
    readout: Readout

    @property
    def lag(self) -> int:
        """Stimulus frames before the first response."""
        return sum(layer.lag for layer in self.layers)


@torch.no_grad()
def fold(retina: Retina, session: str) -> Folded:
    """Fold a session of a model.

    Raises:
        CannotFoldError: it holds modules of kinds that are not known here.
    """
    members = _members(retina)
    cores = [[_fold_layer(layer, session) for layer in [*m.core.features][: m.core.depth]] for m in members]
    if any([layer.shape for layer in core] != [layer.shape for layer in cores[0]] for core in cores):
        raise CannotFoldError("its members differ in architecture")
    readouts = zip(*(_fold_readout(m.readout[session]) for m in members), strict=True)
    layers = [FoldedLayer.of_members(layers) for layers in zip(*cores, strict=True)]
    return Folded(layers, Readout(*map(torch.stack, readouts)))
