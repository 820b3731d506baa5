"""Reads a Lightning checkpoint without importing or calling anything that it names.

Lightning files hold objects of omegaconf, torch, Lightning and openretina itself. Nodes of configurations are read into
`Node`s; every other object is a `Skipped`, into which nobody looks. A name that is neither in the tables of functions
nor below a known package is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from openretina_cli.errors import ModelError, UnsafeFileError
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.pickle_machine import InertClass, Skipped, StandIn, Unfolding
from openretina_cli.models.plain_pickle import PLAIN_GLOBALS
from openretina_cli.models.torch_file import read_torch_file

MAX_BYTES = 2**31

KNOWN_PACKAGES = (
    "openretina.",
    "omegaconf.",
    "torch.nn.",
    "torch.optim.",
    "torch._C._nn.",
    "lightning.",
    "lightning_fabric.",
    "pytorch_lightning.",
    "pathlib.",
)
"""Objects and functions of these are read into records, which do nothing."""

KNOWN_NAMES = frozenset(
    [
        *(("typing", "Any"), ("torch", "device"), ("torch", "exp")),
        *(("collections", name) for name in ("Counter", "deque")),
        *(
            (module, name)
            for module in ("builtins", "__builtin__")
            for name in ("dict", "list", "tuple", "int", "long", "float", "bool", "str", "unicode", "object")
        ),
    ]
)
"""Further names that are read into records."""


class Node(StandIn):
    """A node of a configuration.

    Attributes:
        content: a mapping, a list, a leaf's value, or the text of a reference; nodes in it may be unfinished.
        parent: the node above it, unfinished; it leads to the whole training configuration, and back to this node.
    """

    def __init__(self) -> None:
        self.content: Any = None
        self.parent: Any = None

    def set_state(self, state: Any) -> None:
        """Keep what is in the node and above it."""
        if isinstance(state, dict):
            self.content = state.get("_content", state.get("_val"))
            self.parent = state.get("_parent")

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        """The node with plain data inside; what is above it is left as it is, since it leads back."""
        made = Node()
        made.content, size, height = unfold(self.content, depth + 1)
        made.parent = self.parent
        return made, 1 + size, 1 + height


class _Known(InertClass):
    """A class or function that is known by name."""

    def __call__(self, *arguments: Any) -> Any:
        """A record of an object of the class."""
        return Node() if self.name.startswith("omegaconf.") else Skipped(self.name)


def _mapping(*_: Any) -> dict[Any, Any]:
    return {}


TABLE = {
    **PLAIN_GLOBALS,
    ("collections", "defaultdict"): _mapping,
    ("torch", "ComplexFloatStorage"): torch.complex64,  # so that the refusal can name the weight
}
"""What a checkpoint may ask for beside tensors."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a Lightning checkpoint as plain data, tensors and records.

    Raises:
        UnsafeFileError: the file asks for a function or class that is not known.
        ModelError: the file cannot be read, is damaged or cut off, or is of another kind.
    """

    def known(module: str, name: str) -> InertClass:
        if (module, name) in KNOWN_NAMES or f"{module}.".startswith(KNOWN_PACKAGES):
            return _Known(module, name)
        raise UnsafeFileError(
            f"{path} asks for {shown(f'{module}.{name}')}, which is not known, and was not read",
            expected="a checkpoint of openretina",
            repair="model=torch_module",
        )

    loaded = read_torch_file(path, MAX_BYTES, table=TABLE, unknown=known)
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise ModelError(f"{path} is no Lightning checkpoint", expected="state_dict and hyper_parameters")
    return loaded
