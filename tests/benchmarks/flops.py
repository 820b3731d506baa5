"""How much arithmetic one run needs, counted from the architecture.

A member's forward pass is counted as the plain form does it: every output value of a layer takes one multiplication and
one addition per weight of its kernel (`in * frames * height * width`), over all frames of the stimulus; the readout
takes one pair per pixel, channel and neuron. Norms and nonlinearities are left out (under 1 %). An iteration needs that
pass and the gradient of the stimulus, which for convolutions is the same number of pairs again. Gradients of weights,
which the reference computes too, are not needed, and so not counted.
"""

from __future__ import annotations

from problem import ITERATIONS, SESSION

from openretina_cli.models.architecture import Architecture
from openretina_cli.models.twin import EnsembleModel


def _pairs_of_layers(architecture: Architecture, channels: int, frames: int, height: int, width: int) -> int:
    """Multiply-adds of one forward pass through the layers of one member."""
    pairs = 0
    for layer in range(architecture.layers):
        size, length = architecture.spatial_kernel_size[layer], architecture.temporal_kernel_size[layer]
        lost = size - 1 - 2 * architecture.padding(layer)
        frames, height, width = frames - length + 1, height - lost, width - lost
        out = architecture.hidden_channels[layer]
        pairs += out * frames * height * width * channels * length * size**2
        channels = out
    return pairs


def forward_pass(retina: EnsembleModel, frames: int) -> int:
    """Floating-point operations of one plain forward pass of all members, for one stimulus."""
    facts = retina.facts
    pairs = 0
    for member in retina.members:
        shape = member.architecture
        pairs += _pairs_of_layers(shape, len(facts.channels), frames, facts.height, facts.width)
        rows, columns = shape.output_size(facts.height), shape.output_size(facts.width)
        pairs += rows * columns * shape.hidden_channels[-1] * (frames - facts.lag) * facts.sessions[SESSION]
    return 2 * pairs


def of_one_run(retina: EnsembleModel, frames: int) -> int:
    """Floating-point operations that one run needs in the plain form: forward, and back to the stimulus."""
    return 2 * forward_pass(retina, frames) * ITERATIONS
