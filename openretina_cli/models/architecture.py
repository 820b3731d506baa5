"""What a published `model_config` says, checked key by key before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from torch import nn

from openretina_cli.errors import ModelError
from openretina_cli.models.convolution import FRAMES_PER_FREQUENCY
from openretina_cli.models.foreign_file import shown

NONLINEARITIES: dict[str, type[nn.Module]] = {
    name: getattr(nn, name)
    for name in (
        "ELU",
        "ReLU",
        "LeakyReLU",
        "SELU",
        "CELU",
        "GELU",
        "SiLU",
        "Softplus",
        "Tanh",
        "Sigmoid",
        "Identity",
    )
}
"""The nonlinearities a checkpoint may name; a fixed table, so that a file cannot name anything else."""

TRAINING_ONLY = (
    "gamma_hidden",
    "gamma_in_sparse",
    "gamma_input",
    "gamma_masks",
    "gamma_readout",
    "gamma_temporal",
    "momentum",
    "batch_adaptation",
    "laplace_padding",
    "readout_reg_avg",
    "use_avg_reg",
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


def _unsupported(key: str, value: object, expected: str) -> ModelError:
    return ModelError(f"model_config.{key} = {shown(repr(value), 60)} is not supported", expected=expected)


def _flag(key: str, value: object, layers: int) -> bool:
    if not isinstance(value, bool):
        raise _unsupported(key, value, "true or false")
    return value


def _number(key: str, value: object, layers: int) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise _unsupported(key, value, "a positive number")
    return float(value)


def _sizes(key: str, value: object, layers: int) -> tuple[int, ...]:
    sizes: tuple[Any, ...] = tuple(value) if isinstance(value, (list, tuple)) else (value,) * layers
    if len(sizes) < layers or not all(type(n) is int and 1 <= n <= 4096 for n in sizes):
        raise _unsupported(key, value, f"a whole number from 1 to 4096 for each of the {layers} layers")
    if key == "temporal_kernel_size" and min(sizes) < FRAMES_PER_FREQUENCY:
        raise _unsupported(key, value, f"at least {FRAMES_PER_FREQUENCY} frames")
    return sizes[:layers]


def _layers(key: str, value: object, layers: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 64:
        raise _unsupported(key, value, "a whole number from 1 to 64")
    return value


def _stack(key: str, value: object, layers: int) -> int:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if value is None and layers == 1:
        value = 0
    if isinstance(value, bool) or not isinstance(value, int) or not -layers <= value < layers:
        raise _unsupported(key, value, f"the index of one of the {layers} layers")
    return value


def _nonlinearity(key: str, value: object, layers: int) -> str:
    if not isinstance(value, str) or value not in NONLINEARITIES:
        raise _unsupported(key, value, "one of " + ", ".join(NONLINEARITIES))
    return str(value)


_READERS: dict[str, Callable[[str, object, int], Any]] = {
    "hidden_channels": _sizes,
    "temporal_kernel_size": _sizes,
    "spatial_kernel_size": _sizes,
    "layers": _layers,
    "stack": _stack,
    "core_bias": _flag,
    "input_padding": _flag,
    "hidden_padding": _flag,
    "nonlinearity": _nonlinearity,
    "gaussian_mean_scale": _number,
    "gaussian_var_scale": _number,
    "readout_scale": _flag,
    "readout_positive": _flag,
}


def read_architecture(model_config: Mapping[str, Any]) -> Architecture:
    """Check a published `model_config` and return the architecture it describes.

    Raises:
        ModelError: a key is unknown, or its value is not supported; the message names both.
    """
    known = {field.name for field in fields(Architecture)} | FIXED.keys() | set(TRAINING_ONLY)
    for key, value in model_config.items():
        if key not in known:
            near = get_close_matches(str(key)[:60], known, n=3, cutoff=0) if len(str(key)) <= 60 else []
            problem = f"model_config has the unknown key {shown(repr(key), 60)}"
            raise ModelError(
                problem, expected="one of the published keys, such as " + ", ".join(near or sorted(known)[:3])
            )
        if key in FIXED and value != FIXED[key]:
            raise _unsupported(key, value, repr(FIXED[key]))
    for key, default in DEFAULTS.items():
        if key not in model_config and default != FIXED[key]:
            raise _unsupported(key, default, repr(FIXED[key]))
    layers = _layers("layers", model_config.get("layers", 1), 1)
    stated = {field.name: field.default for field in fields(Architecture)}
    # left out, it means all layers side by side, which is the last one where there is one layer
    stated["stack"] = None
    stated.update(model_config)
    return Architecture(**{key: read(key, stated[key], layers) for key, read in _READERS.items()})
