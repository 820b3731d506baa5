"""Configurations inside a checkpoint, as plain data: `DictConfig`s, `ListConfig`s, and references between them.

Every node of a configuration drags the whole training configuration along on `_parent`. That is looked at for one
purpose: to find what a reference such as `${kernels.temporal}` means. Nothing of it is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.records import Node
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.pickle_machine import Skipped

REFERENCE = re.compile(r"\$\{\s*([\w-]+(?:\.[\w-]+|\[\d+\])*)\s*\}", re.ASCII)
MAX_ITEMS = 10_000
"""Far more than any setting holds; a list that holds one list ten times, sixty deep, would never end."""
MAX_STEPS = 32
"""How deep settings may lie in each other, and how many references may lead to one."""


class _Budget:
    """Counts the items of one setting."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.left = MAX_ITEMS

    def spend(self, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > MAX_STEPS:
            raise ModelError(f"the setting {shown(self.where)} is too deep, too long, or refers to itself")


def _content(value: object) -> object:
    """What a node holds; anything else is itself."""
    return value.content if isinstance(value, Node) else value


def _root(node: object) -> object:
    for _ in range(MAX_STEPS * 2):
        if not isinstance(node, Node) or not isinstance(node.parent, Node):
            return node
        node = node.parent
    return None


def _looked_up(node: Node, path: str) -> object:
    found: object = _root(node)
    for name in re.findall(r"[\w-]+", path):
        content = _content(found)
        if isinstance(content, Mapping) and name in content:
            found = content[name]
        elif isinstance(content, (list, tuple)) and name.isdigit() and int(name) < len(content):
            found = content[int(name)]
        else:
            return None
    return found


def _resolved(node: Node, text: str, budget: _Budget, depth: int) -> Any:
    reference = REFERENCE.fullmatch(text.strip())
    found = _looked_up(node, reference[1]) if reference else None
    if found is None:
        raise ModelError(
            f"the setting {shown(budget.where)} is {shown(text)}, which the file does not hold",
            expected="a value, or a reference to one in the same configuration",
        )
    return _value(found, budget, depth + 1)


def _value(value: object, budget: _Budget, depth: int) -> Any:
    budget.spend(depth)
    content = _content(value)
    if isinstance(value, Node) and isinstance(content, str) and "${" in content:
        return _resolved(value, content, budget, depth)
    if content is None or isinstance(content, (bool, int, float, str)):
        return content
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, Mapping):
        return {str(key): _value(item, budget, depth + 1) for key, item in content.items()}
    if isinstance(content, (list, tuple)):
        return [_value(item, budget, depth + 1) for item in content]
    kind = content.name if isinstance(content, Skipped) else type(content).__name__
    raise ModelError(f"the setting {shown(budget.where)} holds a {shown(kind)}", expected="numbers, texts and lists")


def plain_value(value: object, where: str) -> Any:
    """A setting as numbers, texts, lists and dicts, with references looked up.

    Args:
        value: what the file holds.
        where: the dotted name of the setting, for errors.

    Raises:
        ModelError: it holds anything else, or a reference that leads nowhere; references to the environment or to
            files are never followed.
    """
    return _value(value, _Budget(where), 0)


def members_of(value: object) -> Mapping[str, Any] | None:
    """The entries of a mapping or `DictConfig`, not looked into; None for anything else."""
    content = _content(value)
    if isinstance(content, Mapping) and all(isinstance(key, str) for key in content):
        return content
    return None


def numbers_of(value: object) -> list[float] | None:
    """The numbers of a tensor, array or list in a row; None for anything else."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        items = value.ravel().tolist()
    else:
        try:
            items = plain_value(value, "")
        except ModelError:
            return None
    if not isinstance(items, list) or not all(isinstance(item, (int, float)) for item in items):
        return None
    return [float(item) for item in items]
