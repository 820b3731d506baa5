"""Inner layers of a model by name: their shapes, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from openretina_cli.checks import closest
from openretina_cli.errors import ModelError, SettingError


@contextmanager
def recorded(modules: dict[str, nn.Module]) -> Iterator[dict[str, list[object]]]:
    """Record the outputs of modules, by name, in the order of their calls; the hooks are removed after the block."""
    outputs: dict[str, list[object]] = {}
    with ExitStack() as hooks:
        for name, module in modules.items():

            def hook(_: nn.Module, __: object, output: object, name: str = name) -> None:
                outputs.setdefault(name, []).append(output)

            hooks.callback(module.register_forward_hook(hook).remove)
        yield outputs


@torch.no_grad()
def layer_shapes(model: nn.Module, call: Callable[[], object]) -> dict[str, tuple[int, ...]]:
    """The output shape of each layer that a call of the model reaches, by the name of the layer.

    Args:
        model: the model.
        call: calls the model once, with one stimulus.

    Returns:
        Shapes with the batch axis first; layers that answer with something else than one tensor are left out.
    """
    with recorded(dict(model.named_modules())) as outputs:
        call()
    called = {name: found[0] for name, found in outputs.items() if name and len(found) == 1}
    return {name: tuple(output.shape) for name, output in called.items() if isinstance(output, Tensor)}


def layer(model: nn.Module, name: str) -> nn.Module:
    """The layer of that name.

    Raises:
        SettingError: the model has none.
    """
    layers = dict(model.named_modules())
    if not name or name not in layers:
        near = closest(name, [known for known in layers if known])
        raise SettingError(f"layer={name} is not in the model", expected=near, repair="openretina models NAME --layers")
    found: nn.Module = layers[name]
    return found


def activations(model: nn.Module, name: str, call: Callable[[], object]) -> Tensor:
    """The output of one layer in one call of the model; gradients flow through it.

    Args:
        model: the model.
        name: of the layer.
        call: calls the model.

    Raises:
        ModelError: the call does not reach the layer, or reaches it several times, or it answers with no tensor.
    """
    with recorded({name: layer(model, name)}) as outputs:
        call()
    found = outputs.get(name, [])
    if len(found) != 1:
        raise ModelError(f"one call of the model reaches its layer {name} {len(found)} times", expected="once")
    if not isinstance(found[0], Tensor):
        raise ModelError(f"the layer {name} answers with a {type(found[0]).__name__}", expected="a tensor")
    return found[0]
