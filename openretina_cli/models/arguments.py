"""How a module's `forward` takes what follows the stimulus: the session, and inputs with fixed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

MOST_FORMS = 100
"""Forms of a call that are tried at most; three inputs of three layouts make 27."""
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _parameters(module: nn.Module) -> list[Parameter]:
    try:
        return list(signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a scripted forward has no signature
        return [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)]


@dataclass(frozen=True)
class Signature:
    """The parameters of a `forward` after the stimulus.

    Attributes:
        own: parameters that the `forward` itself names.
        inner: parameters of the module inside a wrapper whose `forward` hands `*args` or `**kwargs` on.
        any_position: whether it takes `*args`.
        any_name: whether it takes `**kwargs`.
    """

    own: tuple[Parameter, ...]
    inner: tuple[Parameter, ...]
    any_position: bool
    any_name: bool

    @classmethod
    def of(cls, module: nn.Module) -> Signature:
        """Read the signature of a module; a wrapper with one submodule (`DataParallel`, compiled) is looked through."""
        parameters = _parameters(module)
        kinds = {parameter.kind for parameter in parameters}
        children = list(module.children())
        inner: tuple[Parameter, ...] = ()
        if kinds & set(VARIADIC) and len(children) == 1:
            inside = cls.of(children[0])
            inner = (*inside.own, *inside.inner)
        own = tuple(parameter for parameter in parameters if parameter.kind not in VARIADIC)[1:]
        return cls(own, inner, Parameter.VAR_POSITIONAL in kinds, Parameter.VAR_KEYWORD in kinds)

    def names(self, name: str) -> bool:
        """Whether the `forward` itself has the parameter, so that a value is sure to arrive."""
        return any(parameter.name == name for parameter in self.own)

    def known(self, name: str) -> bool:
        """Whether the `forward` or the module inside the wrapper has the parameter."""
        return any(parameter.name == name for parameter in (*self.own, *self.inner))

    def takes(self, name: str) -> bool:
        """Whether a value can be passed under the name."""
        return self.names(name) or self.any_name or (self.any_position and self.known(name))

    def missing(self, given: Sequence[str]) -> list[str]:
        """The parameters without a default that are not given."""
        return [
            parameter.name
            for parameter in (*self.own, *self.inner)
            if parameter.default is Parameter.empty and parameter.name not in given
        ]

    def placed(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments by position and by name that follow the stimulus."""
        by_position = [parameter for parameter in self.own if parameter.kind is Parameter.POSITIONAL_ONLY]
        if self.any_position and not self.any_name:
            by_position = [*self.own, *self.inner]
        left = dict(values)
        arguments: list[Any] = []
        for parameter in by_position:
            if not any(later.name in left for later in by_position[len(arguments) :]):
                break
            arguments.append(left.pop(parameter.name, parameter.default))
        return arguments, left


def _layouts(value: Any) -> tuple[str, ...]:
    """The shapes in which a module may take a fixed value, the most usual first."""
    if isinstance(value, (list, tuple)):
        return ("batch", "batch value time", "batch time value")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ("alone", "batch", "batch time", "as it is")
    return ("as it is",)


def _laid_out(value: Any, layout: str, like: Tensor, frames: int) -> Any:
    """A fixed value in the shape of a layout, with the batch size, dtype and device of the stimulus."""
    if layout == "as it is":
        return value
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    shapes = {
        "alone": (tensor, tensor.shape),
        "batch": (tensor, (len(like), *tensor.shape)),
        "batch time": (tensor, (len(like), frames)),
        "batch time value": (tensor, (len(like), frames, *tensor.shape)),
        "batch value time": (tensor[..., None], (len(like), *tensor.shape, frames)),
    }
    small, shape = shapes[layout]
    return small.expand(shape).clone()


@dataclass(frozen=True)
class CallForm:
    """One way to call a module.

    Attributes:
        dtype: type of the stimulus.
        layouts: shape of each fixed input, by name.
    """

    dtype: torch.dtype
    layouts: Mapping[str, str]

    def inputs(self, values: Mapping[str, Any], stimulus: Tensor, frames: int) -> dict[str, Any]:
        """The fixed inputs that go with a stimulus of `frames` frames."""
        return {name: _laid_out(values[name], layout, stimulus, frames) for name, layout in self.layouts.items()}


def call_forms(module: nn.Module, inputs: Mapping[str, Any]) -> Iterator[CallForm]:
    """The ways to call a module, those that fit its weights first."""
    tensors = [*module.parameters(), *module.buffers()]
    dtypes = dict.fromkeys([*(tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32])
    choices = product(dtypes, *(_layouts(value) for value in inputs.values()))
    for dtype, *layouts in islice(choices, MOST_FORMS):
        yield CallForm(dtype, dict(zip(inputs, layouts, strict=True)))
