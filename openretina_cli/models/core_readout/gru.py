"""openretina's recurrent core: layers as in the stacked core, a projection, and a convolutional GRU over frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.architecture import NONLINEARITIES
from openretina_cli.models.core_readout.convolution import (
    CONVOLUTIONS,
    ConvolutionSpec,
    DenseConvolution,
    Padding,
    Shape,
    read_convolution,
)
from openretina_cli.models.core_readout.core import (
    STACKED_SETTINGS,
    TRAINING_SETTINGS,
    Core,
    Layer,
    norm_of,
    read_channels,
)
from openretina_cli.models.core_readout.settings import FileSettings
from openretina_cli.models.core_readout.weights import Weights


class Gate(nn.Module):
    """A convolution of the input plus one of the state.

    Args:
        seen: kernel `(out, in, rows, columns)` and bias of the input.
        kept: kernel and bias of the state.
        padding: pixels of zero padding around the input.
        groups: groups of channels that do not mix.
    """

    seen: Tensor
    seen_bias: Tensor
    kept: Tensor
    kept_bias: Tensor

    def __init__(self, seen: tuple[Tensor, Tensor], kept: tuple[Tensor, Tensor], padding: int, groups: int) -> None:
        super().__init__()
        for name, value in zip(("seen", "seen_bias", "kept", "kept_bias"), (*seen, *kept), strict=True):
            self.register_buffer(name, value)
        self.padding = padding
        self.groups = groups

    def of_input(self, frames: Tensor) -> Tensor:
        """What the input adds."""
        return F.conv2d(frames, self.seen, self.seen_bias, padding=self.padding, groups=self.groups)

    def of_state(self, state: Tensor) -> Tensor:
        """What the state adds."""
        return F.conv2d(state, self.kept, self.kept_bias, padding=self.kept.shape[-1] // 2, groups=self.groups)


class ConvGru(nn.Module):
    """A convolutional GRU that runs over the frames, from a state of zeros.

    Args:
        reset: how much of the state the new one looks at.
        update: how much of the state is replaced.
        out: the new state.
    """

    def __init__(self, reset: Gate, update: Gate, out: Gate) -> None:
        super().__init__()
        self.reset = reset
        self.update = update
        self.out = out

    def output(self, shape: Shape) -> Shape:
        """The lengths that it makes of some lengths."""
        lost = self.out.seen.shape[-1] - 1 - 2 * self.out.padding
        return shape[0], shape[1] - lost, shape[2] - lost

    def forward(self, x: Tensor) -> Tensor:
        """Map features `(batch, in, time, height, width)` to states `(batch, out, time, height', width')`."""
        batch, _, time = x.shape[:3]
        frames = x.transpose(1, 2).flatten(0, 1)
        parts = [gate.of_input(frames) for gate in self.gates]
        seen = [part.view(batch, time, *part.shape[1:]) for part in parts]
        state = torch.zeros_like(seen[0][:, 0])
        states = []
        for reset, update, out in zip(*(part.unbind(1) for part in seen), strict=True):
            kept = torch.sigmoid(reset + self.reset.of_state(state))
            replaced = torch.sigmoid(update + self.update.of_state(state))
            state = (1 - replaced) * state + replaced * torch.tanh(out + self.out.of_state(state * kept))
            states.append(state)
        return torch.stack(states, 2)

    @property
    def gates(self) -> tuple[Gate, Gate, Gate]:
        """The gates, in the order in which a step uses them."""
        return self.reset, self.update, self.out


def _gate(weights: Weights, name: str, gru: FileSettings, inputs: int, outputs: int) -> Gate:
    groups = gru.whole("groups", 1, low=1)
    pads = gru.flag("pad_input", True)
    sizes = [gru.whole("input_kern", low=1, high=255), gru.whole("rec_kern", low=1, high=255)]
    if sizes[1] % 2 == 0 or (pads and sizes[0] % 2 == 0):
        raise gru.refuse(
            "rec_kern" if sizes[1] % 2 == 0 else "input_kern", "an odd size; openretina fails with an even one"
        )
    if inputs % groups or outputs % groups:
        raise gru.refuse("groups", f"a divisor of {inputs} and {outputs} channels")
    taken = []
    for part, channels, size in zip(("input", "hidden"), (inputs, outputs), sizes, strict=True):
        kernel = weights.take(f"{name}_{part}.weight", outputs, channels // groups, size, size)
        taken.append((kernel, weights.take(f"{name}_{part}.bias", outputs)))
    seen, kept = taken
    return Gate(seen, kept, padding=sizes[0] // 2 if pads else 0, groups=groups)


def _read_gru(settings: FileSettings, weights: Weights, inputs: int) -> tuple[ConvGru, int]:
    gru = settings.part("gru_kwargs")
    outputs = gru.whole("rec_channels", low=1)
    gates = [
        _gate(weights, f"core.features.gru.gru.{name}_gate", gru, inputs, outputs)
        for name in ("reset", "update", "out")
    ]
    gru.ignore("gamma_rec")
    gru.finish()
    return ConvGru(*gates), outputs


class _LayerReader:
    """Builds the layers of a recurrent core, which share their settings."""

    def __init__(self, settings: FileSettings, weights: Weights) -> None:
        self.weights = weights
        self.kind = settings.choice("convolution_type", tuple(CONVOLUTIONS), "custom_separable")
        self.bias = settings.flag("bias", True)
        self.norm = settings.flag("batch_norm", True)
        self.scale = settings.flag("batch_norm_scale", True)
        self.nonlinearity = NONLINEARITIES[settings.choice("nonlinearity", tuple(NONLINEARITIES), "ELU")]

    def affine(self, name: str, channels: int) -> tuple[Tensor, Tensor]:
        """Gain and offset after the convolution."""
        if not self.norm:
            return torch.ones(channels), torch.zeros(channels)
        gain, offset = norm_of(self.weights, f"{name}.norm", channels, affine=self.bias and self.scale)
        shape = (1, channels, 1, 1, 1)
        if self.bias and not self.scale:
            offset = offset + self.weights.take(f"{name}.bias.bias", *shape).flatten()
        if self.scale and not self.bias:
            scale = self.weights.take(f"{name}.scale.scale", *shape).flatten()
            gain, offset = gain * scale, offset * scale
        return gain, offset

    def layer(self, index: int, spec: ConvolutionSpec, linear: bool) -> Layer:
        """One layer."""
        name = f"core.features.layer{index}"
        convolution = read_convolution(self.kind, self.weights, f"{name}.conv", spec)
        gain, offset = self.affine(name, spec.outputs)
        return Layer(convolution, gain, offset, None if linear else self.nonlinearity(), pool=False)

    def projection(self, channels: int) -> Layer:
        """The mixing of channels after the first layer."""
        name = "core.features.projection.0"
        self.weights.drop(f"{name}._log_speed_default")  # saved, and without effect
        kernel = self.weights.take(f"{name}.conv.weight", channels, channels, 1, 1, 1)
        convolution = DenseConvolution(kernel, Padding())
        return Layer(convolution, torch.ones(channels), torch.zeros(channels), self.nonlinearity(), pool=False)


def _paddings(settings: FileSettings, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Padding of each layer.

    The settings count as true or false. The list is off by one, as in openretina: the first hidden layer gets none, and
    every later one half of the kernel of the layer before it.
    """
    halves = [(0, size // 2, size // 2) for size in sizes]
    none = (0, 0, 0)
    first = halves[0] if settings.value("input_padding", False) else none
    hidden = halves if settings.value("hidden_padding", True) else [none] * len(sizes)
    return [first, *([none, *hidden[1:]][: len(sizes)])]


def read_gru_core(settings: FileSettings, weights: Weights, inputs: int, hidden: Sequence[int] | None) -> Core:
    """Build openretina's `ConvGRUCore`; see `read_stacked_core`.

    The published model passes no session to its core, so that `log_speed_SESSION` is saved and never used.

    Raises:
        ModelError: the settings or weights are of no known kind, or do not fit each other.
    """
    channels = read_channels(settings, inputs, hidden)
    count = len(channels) - 1
    if count < 1:
        raise settings.refuse("channels", "channels of the stimulus and of at least one layer")
    lengths = settings.sizes("temporal_kernel_sizes", 21, count)
    sizes = settings.sizes("spatial_kernel_sizes", 14, count)
    paddings = _paddings(settings, sizes)
    ends_linear = not settings.flag("final_nonlinearity", True)
    reader = _LayerReader(settings, weights)
    layers: list[nn.Module] = []
    for i in range(count):
        spec = ConvolutionSpec(channels[i], channels[i + 1], lengths[i], sizes[i], paddings[i])
        layers.append(reader.layer(i, spec, linear=ends_linear and i in (0, count - 1)))
        if i == 0 and settings.flag("use_projections", False):
            layers.append(reader.projection(channels[1]))
    outputs = channels[-1]
    if settings.flag("use_gru", False):
        gru, outputs = _read_gru(settings, weights, outputs)
        layers.append(gru)
    settings.ignore(*TRAINING_SETTINGS, *STACKED_SETTINGS, "gru_kwargs", "use_avg_reg")
    settings.ignore("batch_norm_momentum", "laplace_padding", "batch_adaptation")
    return Core(layers, outputs)
