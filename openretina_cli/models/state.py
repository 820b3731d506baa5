"""What a module carries from call to call: its buffers and its own attributes."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

INTERNAL = frozenset(vars(nn.Module()))
"""Attributes that `torch.nn.Module` itself keeps."""


def _copied(value: Any) -> Any:
    """Copy tensors, arrays and the containers they stand in; any other object is passed on as it is."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) in (list, tuple, set, deque):
        return type(value)(_copied(item) for item in value)
    return value


def _own_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in INTERNAL}


class ModuleState:
    """The buffers and attributes of a module and its submodules at one moment; parameters are left out.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._moments = [
            (part, _copied(_own_attributes(part)), _copied(vars(part)["_buffers"])) for part in module.modules()
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Give the module copies of the kept values, and remove the attributes that came later.

        New tensors take the place of old ones, so that the graph of an earlier call stays valid.
        """
        for part, attributes, buffers in self._moments:
            for name in set(_own_attributes(part)) - set(attributes):
                del vars(part)[name]
            vars(part).update(_copied(attributes))
            vars(part)["_buffers"].clear()
            vars(part)["_buffers"].update(_copied(buffers))
