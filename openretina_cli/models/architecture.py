"""What a published `model_config` says, checked key by key before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from openretina_cli.models.convolution import FRAMES_PER_FREQUENCY
from openretina_cli.models.core_readout.settings import FileSettings

NONLINEARITIES: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(nn.ELU, nn.ReLU, nn.LeakyReLU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
        *(nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Identity),
    )
}
"""The nonlinearities a checkpoint may name; a fixed table, so that a file cannot name anything else."""

TRAINING_ONLY = (
    *("gamma_hidden", "gamma_in_sparse", "gamma_input", "gamma_masks", "gamma_readout", "gamma_temporal"),
    *("momentum", "batch_adaptation", "laplace_padding", "readout_reg_avg", "use_avg_reg"),
)
"""Keys that shape training and leave the trained network's responses alone."""

FIXED = {
    "conv_type": "custom_separable",
    "gaussian_masks": True,
    "batch_norm": True,
    "batch_norm_scale": False,
    "final_nonlinearity": True,
    "initialize_from_roi_masks": False,
    "readout_bias": True,
}
"""Keys of the published configuration of which one value is supported."""

DEFAULTS = {"conv_type": "custom_separable", "gaussian_masks": False}
"""What the published model function assumes for a fixed key that a file leaves out, where that is not `FIXED`."""

FLAGS = ("core_bias", "input_padding", "hidden_padding", "readout_scale", "readout_positive")
MAX_SCALE = 1e6
"""Bound on the scales of stored masks; the published ones are 6 and 4."""


@dataclass(frozen=True)
class Architecture:
    """The shape of one published network (core and readout), by the names of its `model_config`.

    Attributes:
        hidden_channels: output channels of each layer.
        temporal_kernel_size: frames, one per layer.
        spatial_kernel_size: pixels, one per layer.
        layers: number of layers.
        stack: index of the layer that the readout sees.
        core_bias: whether a bias follows each layer's batch norm.
        input_padding: whether the first layer keeps the field's size.
        hidden_padding: whether later layers keep the field's size.
        nonlinearity: name of a `torch.nn` nonlinearity.
        gaussian_mean_scale: see `GaussianReadout`.
        gaussian_var_scale: see `GaussianReadout`.
        readout_scale: whether neurons have a gain of their own.
        readout_positive: whether feature weights are at or above zero.
    """

    hidden_channels: tuple[int, ...] = (8,)
    temporal_kernel_size: tuple[int, ...] = (21,)
    spatial_kernel_size: tuple[int, ...] = (11,)
    layers: int = 1
    stack: int = -1
    core_bias: bool = False
    input_padding: bool = False
    hidden_padding: bool = True
    nonlinearity: str = "ELU"
    gaussian_mean_scale: float = 1.0
    gaussian_var_scale: float = 1.0
    readout_scale: bool = False
    readout_positive: bool = False

    @property
    def lag(self) -> int:
        """Frames dropped by the valid convolutions up to the layer that the readout sees."""
        last = range(self.layers)[self.stack]
        return sum(length - 1 for length in self.temporal_kernel_size[: last + 1])

    def padding(self, layer: int) -> int:
        """Pixels of zero padding on each side in one layer."""
        padded = self.input_padding if layer == 0 else self.hidden_padding
        return self.spatial_kernel_size[layer] // 2 if padded else 0

    def output_size(self, side: int) -> int:
        """Pixels that the readout sees along a side of the field of `side` pixels."""
        for layer in range(range(self.layers)[self.stack] + 1):
            side += 2 * self.padding(layer) - self.spatial_kernel_size[layer] + 1
        return side


def _stack(settings: FileSettings, layers: int) -> int:
    """The layer that the readout sees; left out, it means all layers side by side: the last one where there is one."""
    stack = settings.value("stack", None)
    if isinstance(stack, list) and len(stack) == 1:
        (stack,) = stack
    if stack is None and layers == 1:
        return 0
    if type(stack) is not int or not -layers <= stack < layers:
        raise settings.refuse("stack", f"the index of one of the {layers} layers")
    return stack


def _scale(settings: FileSettings, name: str) -> float:
    scale = settings.number(name, getattr(Architecture, name))
    if not 0 < scale < MAX_SCALE:
        raise settings.refuse(name, "a positive number")
    return scale


def _sizes(settings: FileSettings, name: str, layers: int) -> tuple[int, ...]:
    (default,) = getattr(Architecture, name)
    return settings.sizes(name, default, layers)[:layers]


def read_architecture(model_config: Mapping[str, Any]) -> Architecture:
    """Check a published `model_config` and return the architecture it describes.

    Raises:
        ModelError: a key is unknown, or its value is not supported; the message names both.
    """
    settings = FileSettings(model_config, "model_config")
    for name, supported in FIXED.items():
        if settings.value(name, DEFAULTS.get(name, supported)) != supported:
            raise settings.refuse(name, repr(supported))
    settings.ignore(*TRAINING_ONLY)
    layers = settings.whole("layers", 1, low=1, high=64)
    lengths = _sizes(settings, "temporal_kernel_size", layers)
    if min(lengths) < FRAMES_PER_FREQUENCY:
        raise settings.refuse("temporal_kernel_size", f"at least {FRAMES_PER_FREQUENCY} frames")
    found = Architecture(
        hidden_channels=_sizes(settings, "hidden_channels", layers),
        temporal_kernel_size=lengths,
        spatial_kernel_size=_sizes(settings, "spatial_kernel_size", layers),
        layers=layers,
        stack=_stack(settings, layers),
        nonlinearity=settings.choice("nonlinearity", tuple(NONLINEARITIES), "ELU"),
        gaussian_mean_scale=_scale(settings, "gaussian_mean_scale"),
        gaussian_var_scale=_scale(settings, "gaussian_var_scale"),
        **{name: settings.flag(name, getattr(Architecture, name)) for name in FLAGS},
    )
    settings.finish()
    return found
