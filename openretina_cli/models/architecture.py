"""What a published `model_config` says, checked key by key before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from torch import nn

from openretina_cli.errors import ModelError
from openretina_cli.models.convolution import FRAMES_PER_FREQUENCY
from openretina_cli.models.foreign_file import shown

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


def _unsupported(key: str, value: object, expected: str) -> ModelError:
    return ModelError(f"model_config.{key} = {shown(repr(value), 60)} is not supported", expected=expected)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


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
    if len(sizes) < layers or not all(_is_whole(size, 1, 4096) for size in sizes):
        raise _unsupported(key, value, f"a whole number from 1 to 4096 for each of the {layers} layers")
    return sizes[:layers]


def _lengths(key: str, value: object, layers: int) -> tuple[int, ...]:
    lengths = _sizes(key, value, layers)
    if min(lengths) < FRAMES_PER_FREQUENCY:
        raise _unsupported(key, value, f"at least {FRAMES_PER_FREQUENCY} frames")
    return lengths


def _layers(key: str, value: Any, layers: int) -> int:
    if not _is_whole(value, 1, 64):
        raise _unsupported(key, value, "a whole number from 1 to 64")
    return int(value)


def _stack(key: str, value: Any, layers: int) -> int:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if value is None and layers == 1:
        value = 0
    if not _is_whole(value, -layers, layers - 1):
        raise _unsupported(key, value, f"the index of one of the {layers} layers")
    return int(value)


def _nonlinearity(key: str, value: object, layers: int) -> str:
    if not isinstance(value, str) or value not in NONLINEARITIES:
        raise _unsupported(key, value, "one of " + ", ".join(NONLINEARITIES))
    return str(value)


def _read_by(reader: Callable[[str, Any, int], Any], default: Any) -> Any:
    """A field with the function that checks the value of a file: `reader(key, value, number of layers)`."""
    return field(default=default, metadata={"reader": reader})


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

    hidden_channels: tuple[int, ...] = _read_by(_sizes, (8,))
    temporal_kernel_size: tuple[int, ...] = _read_by(_lengths, (21,))
    spatial_kernel_size: tuple[int, ...] = _read_by(_sizes, (11,))
    layers: int = _read_by(_layers, 1)
    stack: int = _read_by(_stack, -1)
    core_bias: bool = _read_by(_flag, False)
    input_padding: bool = _read_by(_flag, False)
    hidden_padding: bool = _read_by(_flag, True)
    nonlinearity: str = _read_by(_nonlinearity, "ELU")
    gaussian_mean_scale: float = _read_by(_number, 1.0)
    gaussian_var_scale: float = _read_by(_number, 1.0)
    readout_scale: bool = _read_by(_flag, False)
    readout_positive: bool = _read_by(_flag, False)

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


def read_architecture(model_config: Mapping[str, Any]) -> Architecture:
    """Check a published `model_config` and return the architecture it describes.

    Raises:
        ModelError: a key is unknown, or its value is not supported; the message names both.
    """
    own = {field.name: field for field in fields(Architecture)}
    known = own.keys() | FIXED.keys() | set(TRAINING_ONLY)
    for key in model_config:
        if key not in known:
            near = get_close_matches(str(key)[:60], known, n=3, cutoff=0) if len(str(key)) <= 60 else []
            problem = f"model_config has the unknown key {shown(repr(key), 60)}"
            raise ModelError(
                problem, expected="one of the published keys, such as " + ", ".join(near or sorted(known)[:3])
            )
    for key, supported in FIXED.items():
        if (value := model_config.get(key, DEFAULTS.get(key, supported))) != supported:
            raise _unsupported(key, value, repr(supported))
    layers = _layers("layers", model_config.get("layers", 1), 1)
    # left out, `stack` means all layers side by side, which is the last one where there is one layer
    stated = {**{name: field.default for name, field in own.items()}, "stack": None, **model_config}
    return Architecture(**{name: field.metadata["reader"](name, stated[name], layers) for name, field in own.items()})
