"""Unpickles a checkpoint without importing or calling anything that it names.

Lightning files hold objects of omegaconf, torch, Lightning and openretina itself. Each is read into a stand-in that
keeps what the pickle says about the object; a few functions that build plain data have a counterpart here. A name that
is neither in the table of functions nor below a known package is refused.
"""

from __future__ import annotations

import io
import pickle  # only ever with an Unpickler that takes its globals from the tables below
from collections.abc import Callable
from typing import Any

from openretina_cli.errors import UnsafeFileError
from openretina_cli.models.core_readout.archive import Archive, Storage, StoredTensor
from openretina_cli.models.plain_pickle import PLAIN_GLOBALS, shown

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
"""Objects and functions of these are read as stand-ins, which do nothing."""

KNOWN_NAMES = frozenset(
    [
        ("typing", "Any"),
        ("torch", "device"),
        ("torch", "exp"),
        ("collections", "Counter"),
        ("collections", "deque"),
        *(("torch", f"{kind}{bits}") for kind, bits in (("float", 16), ("float", 32), ("float", 64), ("bfloat", 16))),
        *(
            (module, name)
            for module in ("builtins", "__builtin__")
            for name in ("dict", "list", "tuple", "int", "long", "float", "bool", "str", "unicode", "object")
        ),
    ]
)
"""Further names that are read as stand-ins."""


class StandIn:
    """What a pickle says about an object of a class that is known by name only.

    Attributes:
        kind: the dotted name of the class; of a function, where one is referred to.
        arguments: what the object was made from.
        state: its attributes, as a pickle states them.
    """

    kind = ""
    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any, **_: Any) -> StandIn:
        """Keep the arguments of a call, and call nothing."""
        stand_in = super().__new__(cls)
        stand_in.arguments = arguments
        stand_in.state = None
        return stand_in

    def __init__(self, *arguments: Any, **_: Any) -> None:
        """Ignore the arguments, which `__new__` keeps."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop what a pickle puts into a subclass of a mapping."""

    def append(self, item: Any) -> None:
        """Drop what a pickle appends to a subclass of a list."""

    def extend(self, items: Any) -> None:
        """Drop what a pickle appends to a subclass of a list."""


class _Mapping(dict[Any, Any]):
    """A dict of a class of its own, whose attributes are dropped."""

    def __setstate__(self, state: Any) -> None:
        """Drop the attributes, such as the `_metadata` of a state dict."""


def _mapping(*_: Any) -> _Mapping:
    return _Mapping()


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    return storage.tensor(offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _size(lengths: Any) -> tuple[Any, ...]:
    return tuple(lengths)


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    **PLAIN_GLOBALS,
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _mapping,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
}
"""Functions that build plain data, by module and name as a whole, and what takes their place."""


class _Call:
    """One use of a function; a pickle may set attributes of what it is given, so it never gets the function."""

    __slots__ = ("_make", "_reader")

    def __init__(self, make: Callable[..., Any], reader: _Unpickler) -> None:
        self._make = make
        self._reader = reader

    def __call__(self, *arguments: Any) -> Any:
        self._reader.spend(arguments)
        return self._make(*arguments)


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, archive: Archive) -> None:
        super().__init__(io.BytesIO(content))
        self._archive = archive
        self._left = 4 * len(content)

    def spend(self, arguments: tuple[Any, ...]) -> None:
        """Count what calls copy: one long text that is copied by many short calls would exhaust the memory."""
        self._left -= sum(len(item) for item in arguments if isinstance(item, (str, bytes, list, tuple, dict)))
        if self._left < 0:
            raise ValueError("its calls copy far more than it holds")

    def find_class(self, module: str, name: str, /) -> Any:
        if make := FUNCTIONS.get((module, name)):
            return _Call(make, self)
        is_storage = module == "torch" and name.endswith("Storage")
        if is_storage or (module, name) in KNOWN_NAMES or f"{module}.".startswith(KNOWN_PACKAGES):
            return type("StandIn", (StandIn,), {"kind": f"{module}.{name}"})
        raise UnsafeFileError(
            f"{self._archive.path} asks for {shown(f'{module}.{name}')}, which is not known, and was not read",
            expected="a checkpoint of openretina",
            repair="model=torch_module",
        )

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, length = pid
        if kind != "storage" or not (isinstance(storage, type) and issubclass(storage, StandIn)):
            raise ValueError("it refers to objects outside itself")
        return self._archive.find(key, storage.kind.removeprefix("torch."), length)


def unpickle(archive: Archive) -> Any:
    """What the pickle of a checkpoint holds: containers, numbers, texts, `StoredTensor`s and stand-ins.

    Raises:
        UnsafeFileError: it asks for a function or class that is not known.
        Exception: whatever a broken pickle makes the unpickler raise.
    """
    return _Unpickler(archive.pickle(), archive).load()
