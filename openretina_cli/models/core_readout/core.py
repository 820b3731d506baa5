"""The cores of openretina: what turns a stimulus into the feature maps that all readouts share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.convolution import (
    CONVOLUTIONS,
    Convolution,
    ConvolutionSpec,
    PaddingSetting,
    Shape,
    read_convolution,
)
from openretina_cli.models.core_readout.settings import FileSettings
from openretina_cli.models.core_readout.weights import Weights

BATCH_NORM_EPSILON = 1e-5
"""Added to variances by torch's batch norm."""


class Layer(nn.Module):
    """A convolution, a gain and an offset per channel (batch norm and bias), a nonlinearity, and pooling.

    Args:
        convolution: the convolution.
        gain: `(out,)`.
        offset: `(out,)`.
        nonlinearity: applied to each element; None is the identity.
        pool: whether the largest of every two by two pixels is kept.
    """

    gain: Tensor
    offset: Tensor

    def __init__(
        self, convolution: Convolution, gain: Tensor, offset: Tensor, nonlinearity: nn.Module | None, pool: bool
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.register_buffer("gain", gain)
        self.register_buffer("offset", offset)
        self.nonlinearity = nonlinearity
        self.pool = pool

    def output(self, shape: Shape) -> Shape:
        """The lengths that it makes of some lengths."""
        time, height, width = self.convolution.output(shape)
        return (time, height // 2, width // 2) if self.pool else (time, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to those of the next layer."""
        y = self.convolution(x) * self.gain.view(-1, 1, 1, 1) + self.offset.view(-1, 1, 1, 1)
        if self.nonlinearity is not None:
            y = self.nonlinearity(y)
        return F.max_pool3d(y, (1, 2, 2)) if self.pool else y


class Core(nn.Module):
    """Maps a stimulus `(batch, channel, time, height, width)` to features, by layers one after another.

    Args:
        layers: modules that have an `output` as `Layer` has; none hands the stimulus on.
        channels: channels of the last.
        cut: frames that are dropped at the end.
        squash: weights `(channel,)` that make one channel of several, or None.
        downsample: lengths over which the stimulus is averaged, or None.

    Attributes:
        stride: stimulus frames that are averaged to one.
    """

    squash: Tensor | None

    def __init__(
        self,
        layers: Sequence[nn.Module],
        channels: int,
        *,
        cut: int = 0,
        squash: Tensor | None = None,
        downsample: Shape | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.channels = channels
        self.cut = cut
        self.register_buffer("squash", squash)
        self.downsample = downsample
        self.stride = 1 if downsample is None else downsample[0]

    def output(self, shape: Shape) -> Shape:
        """Lengths of the features for a stimulus of some lengths."""
        if self.downsample is not None:
            shape = tuple(n // size for n, size in zip(shape, self.downsample, strict=True))  # type: ignore[assignment]
        for layer in self.layers:
            shape = layer.output(shape)  # type: ignore[operator]  # a Layer, which ModuleList cannot say
        return shape[0] - self.cut, shape[1], shape[2]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features."""
        if self.squash is not None and x.shape[1] > 1:
            x = (x * self.squash.view(-1, 1, 1, 1)).sum(1, keepdim=True)
        if self.downsample is not None:
            x = F.avg_pool3d(x, self.downsample)
        for layer in self.layers:
            x = layer(x)
        return x[:, :, self.cut :]


# --- from settings and weights

TRAINING_SETTINGS = ("gamma_input", "gamma_hidden", "gamma_in_sparse", "gamma_temporal")
STACKED_SETTINGS = (
    "temporal_kernel_sizes",
    "spatial_kernel_sizes",
    "input_padding",
    "hidden_padding",
    "convolution_type",
    "cut_first_n_frames",
    "dropout_rate",
    "maxpool_every_n_layers",
    "downsample_input_kernel_size",
    "color_squashing_weights",
    "n_neurons_dict",
)
"""FileSettings of the stacked core, which other cores take any settings beside and overlook."""


def norm_of(weights: Weights, name: str, channels: int, *, affine: bool) -> tuple[Tensor, Tensor]:
    """Gain and offset that a batch norm amounts to.

    Raises:
        ModelError: its weights do not fit, or its variance is negative.
    """
    mean = weights.take(f"{name}.running_mean", channels)
    gain = torch.rsqrt(weights.take(f"{name}.running_var", channels) + BATCH_NORM_EPSILON)
    if not bool(torch.isfinite(gain).all()):
        raise ModelError(f"{name}.running_var is negative", expected="a variance")
    if affine:
        gain = gain * weights.take(f"{name}.weight", channels)
    offset = -mean * gain
    return gain, offset + weights.take(f"{name}.bias", channels) if affine else offset


def read_channels(settings: FileSettings, inputs: int, hidden: Sequence[int] | None) -> tuple[int, ...]:
    """Channels from the stimulus to the last layer; the settings' own hold where the model states no hidden ones."""
    if hidden is not None:
        settings.ignore("channels")
        return (inputs, *hidden)
    return settings.wholes("channels")


def read_padding_setting(settings: FileSettings, name: str, default: bool) -> PaddingSetting:
    """A padding in any of its forms."""
    value = settings.value(name, default)
    if isinstance(value, list) and len(value) == 3 and all(type(n) is int and 0 <= n < 256 for n in value):
        return value[0], value[1], value[2]
    if value in ("same", "valid") or (isinstance(value, int) and 0 <= value < 256):  # false and true are 0 and 1
        one: bool | int | str = value
        return one
    raise settings.refuse(name, "true, false, a number of pixels, or three of them")


def _kernels(settings: FileSettings, layers: int) -> list[tuple[int, int]]:
    lengths = settings.wholes("temporal_kernel_sizes", high=4096)
    sizes = settings.wholes("spatial_kernel_sizes", high=4096)
    for name, found in (("temporal_kernel_sizes", lengths), ("spatial_kernel_sizes", sizes)):
        if len(found) != layers:
            raise settings.refuse(name, f"one for each of the {layers} layers")
    return list(zip(lengths, sizes, strict=True))


def _squash(settings: FileSettings, weights: Weights) -> Tensor | None:
    if settings.value("color_squashing_weights", None) is None:
        return None
    name = "core.color_squashing_layer.channel_weights"
    return weights.take(name, *weights.shape(name))


def _layer(
    settings: FileSettings, weights: Weights, index: int, kind: str, spec: ConvolutionSpec, pool_every: int | None
) -> Layer:
    name = f"core.features.layer{index}"
    convolution = read_convolution(kind, weights, f"{name}.conv", spec)
    gain, offset = norm_of(weights, f"{name}.norm", spec.outputs, affine=True)
    offset = offset + weights.take(f"{name}.bias.bias", 1, spec.outputs, 1, 1, 1).flatten()
    return Layer(convolution, gain, offset, nn.ELU(), pool_every is not None and index % pool_every == 0)


def read_stacked_core(settings: FileSettings, weights: Weights, inputs: int, hidden: Sequence[int] | None) -> Core:
    """Build openretina's `SimpleCoreWrapper`.

    Args:
        settings: of the core.
        weights: the state dict.
        inputs: channels that the first layer takes.
        hidden: channels of the layers, or None where the settings state them.

    Raises:
        ModelError: the settings or weights are of no known kind, or do not fit each other.
    """
    channels = read_channels(settings, inputs, hidden)
    if len(channels) < 2:
        raise settings.refuse("channels", "channels of the stimulus and of at least one layer")
    kernels = _kernels(settings, len(channels) - 1)
    kind = settings.choice("convolution_type", tuple(CONVOLUTIONS), "custom_separable")
    paddings = [read_padding_setting(settings, "input_padding", False)]
    paddings += [read_padding_setting(settings, "hidden_padding", True)] * len(kernels)
    every = settings.value("maxpool_every_n_layers", None)
    pool_every = None if every is None else settings.whole("maxpool_every_n_layers", low=1)
    averaged = settings.value("downsample_input_kernel_size", None)
    downsample = None if averaged is None else settings.wholes("downsample_input_kernel_size", high=64)
    if downsample is not None and len(downsample) != 3:
        raise settings.refuse("downsample_input_kernel_size", "three whole numbers")
    cut = settings.whole("cut_first_n_frames", 30)
    settings.ignore(*TRAINING_SETTINGS, "dropout_rate", "n_neurons_dict")
    layers = [
        _layer(
            settings,
            weights,
            i,
            kind,
            ConvolutionSpec(channels[i], channels[i + 1], *kernels[i], paddings[i]),
            pool_every,
        )
        for i in range(len(kernels))
    ]
    squash = _squash(settings, weights)
    return Core(layers, channels[-1], cut=cut, squash=squash, downsample=downsample)


def read_dummy_core(settings: FileSettings, weights: Weights, inputs: int, hidden: Sequence[int] | None) -> Core:
    """Build openretina's `DummyCore`, which overlooks the settings of other cores; see `read_stacked_core`."""
    settings.ignore(*TRAINING_SETTINGS, *STACKED_SETTINGS, "channels")
    stated = settings.value("cut_first_n_frames", None) is not None
    return Core([], inputs, cut=settings.whole("cut_first_n_frames") if stated else 0)
