"""Reads a pickle of plain data: containers, numbers, strings and arrays, whatever else the pickle asks for.

numpy believes what a pickle says about an array's memory, so stand-ins take the place of numpy's own functions, and
arrays are made from the recorded shape, type and bytes after these have been checked against each other.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openretina_cli.errors import UnsafeFileError
from openretina_cli.models.foreign_file import unsafe
from openretina_cli.models.pickle_machine import Budget, Machine, StandIn, Unfolding, checked_key

MAX_DIMENSIONS = 32
"""Axes of an array, as in older versions of numpy."""

MAX_SCALAR_BYTES = 256
"""Bytes of one numpy scalar; scalars are made at once, as they may be keys."""

Globals = Mapping[tuple[str, str], Any]
"""What a pickle may ask for: functions that make data, and constants, by module and name."""


def load_plain(content: bytes, path: Path) -> Any:
    """What a pickle holds, made of plain containers, numbers, strings, arrays and `torch.Size`.

    Args:
        content: the pickle.
        path: the file it is from, for errors.

    Raises:
        UnsafeFileError: the pickle asks for any function or class that is not in the table of plain ones.
        Exception: whatever a malformed pickle makes the machine raise.
    """
    budget = Budget(len(content))

    def refer(_: Any) -> Any:
        raise UnsafeFileError(f"{path} refers to objects outside itself", expected="plain data")

    loaded = Machine(finder(PLAIN_GLOBALS, path), refer, budget).run(io.BytesIO(content))
    return Unfolding(budget)(loaded)[0]


def finder(table: Globals, path: Path, unknown: Callable[[str, str], Any] | None = None) -> Callable[[str, str], Any]:
    """Looks globals up in a table; others are given to `unknown`, or refused by name where `unknown` is None."""

    def find(module: str, name: str) -> Any:
        # pairs are compared as a whole, so that no dotted name leads from an admitted module to another
        if (module, name) in table:
            return table[module, name]
        if unknown is None:
            raise unsafe([f"{module}.{name}"], path)
        return unknown(module, name)

    return find


class _Dtype(StandIn):
    """What a pickle says about the elements of an array."""

    _PLAIN = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][1-9]\d{0,5}|O8?")

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code = code
        self.order = "="

    def set_state(self, state: Any) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not self._PLAIN.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"array elements of type {self.code}")
        return np.dtype(self.order + self.code)

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        return self.resolve(), 1, 0


class _Array(StandIn):
    """What a pickle says about an array; its memory is made here, from exactly as many bytes as its shape needs."""

    shape: Any = None

    def __init__(self, *_: object) -> None:
        """Take what `_reconstruct` is called with, a class and an empty shape, which the state overrides."""

    def set_state(self, state: Any) -> None:
        self.shape, self.dtype, self.fortran_order, self.data = state[-4:]

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        dtype = self.dtype.resolve()
        if len(self.shape) > MAX_DIMENSIONS or not all(type(length) is int for length in self.shape):
            raise ValueError("an array whose shape is not made of integers, or has too many of them")
        if len(self.data) != math.prod(self.shape) * (1 if dtype.hasobject else dtype.itemsize):
            raise ValueError("an array whose shape does not fit its data")
        unfold.budget.spend(len(self.data) * (8 if dtype.hasobject else 1))
        size, height = len(self.data), 0
        if dtype.hasobject:
            elements = np.empty(len(self.data), dtype)
            made, size, height = unfold(list(self.data), depth)
            for index, element in enumerate(made):
                elements[index] = element
        else:
            elements = np.frombuffer(bytearray(self.data), dtype)  # a copy of its own, so that it can be written to
        return elements.reshape(self.shape, order="F" if self.fortran_order else "C"), size, height


def _array_from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> _Array:
    array = _Array()
    array.set_state((shape, dtype, order == "F", data))
    return array


def _numpy_scalar(dtype: _Dtype, data: bytes) -> Any:
    kind = dtype.resolve()
    if kind.hasobject or len(data) != kind.itemsize or kind.itemsize > MAX_SCALAR_BYTES:
        raise ValueError("a numpy scalar that is an object, or does not fit its data")
    return np.frombuffer(data, kind)[0]


def _array_type(*arguments: object) -> None:
    raise ValueError("an array without data")


def _empty_bytes() -> bytes:
    return b""


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an encoding other than latin1")
    return text.encode("latin1")


def ordered_dict() -> dict[Any, Any]:
    """An OrderedDict, which pickles fill after they made it."""
    return {}


def _set(items: Any = ()) -> set[Any]:
    return set(map(checked_key, items))


def _frozenset(items: Any = ()) -> frozenset[Any]:
    return frozenset(map(checked_key, items))


class _Size(StandIn):
    """A `torch.Size`, for which torch is imported only when the data is made."""

    def __init__(self, lengths: Any = ()) -> None:
        self.lengths = lengths

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        import torch

        if len(self.lengths) > MAX_DIMENSIONS:
            raise ValueError(f"a shape with {len(self.lengths)} axes")
        return torch.Size(self.lengths), 1 + len(self.lengths), 1


PLAIN_GLOBALS: Globals = {
    ("collections", "OrderedDict"): ordered_dict,
    ("torch", "Size"): _Size,
    ("numpy", "ndarray"): _array_type,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1_bytes,  # how protocol 2 writes bytes
    ("__builtin__", "bytes"): _empty_bytes,
    **{(module, "set"): _set for module in ("builtins", "__builtin__")},
    **{(module, "frozenset"): _frozenset for module in ("builtins", "__builtin__")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _numpy_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("core", "_core")},
}
