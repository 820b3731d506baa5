"""Unpickles plain data only: containers, numbers, strings and arrays, whatever else a pickle asks for.

numpy believes what a pickle says about an array's memory, so stand-ins take the place of its own functions, and arrays
are made from what those were told once it has been checked.
"""

from __future__ import annotations

import io
import math
import pickle  # only ever with an Unpickler that takes its globals from the table below
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openretina_cli.errors import UnsafeFileError


def load_plain(content: bytes, path: Path) -> Any:
    """What a pickle holds, made of plain containers, numbers, strings, arrays and `torch.Size`.

    Args:
        content: the pickle.
        path: the file it is from, for errors.

    Raises:
        UnsafeFileError: it asks for any function or class that is not in the table of plain ones.
        Exception: whatever a broken pickle makes the unpickler raise.
    """
    return _plain(_PlainUnpickler(io.BytesIO(content), path).load(), {})


def shown(text: str, limit: int = 200) -> str:
    """Text out of a file, fit for a terminal: short and without control characters."""
    text = ascii(" ".join(text.split()))[1:-1]
    return text if len(text) <= limit else text[:limit] + "..."


def unsafe(names: Iterable[str], path: Path) -> UnsafeFileError:
    """The refusal of a file that asks for functions or classes by these names."""
    return UnsafeFileError(
        f"{path} asks for {shown(', '.join(names))} and was not read",
        expected="nothing but numbers, strings, arrays and containers of them",
    )


class _Dtype:
    """What a pickle says about the elements of an array."""

    _PLAIN = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][1-9]\d{0,5}|O8?")
    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not self._PLAIN.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"array elements of type {self.code}")
        return np.dtype(self.order + self.code)


class _Array:
    """What a pickle says about an array; its memory is made here, from exactly as many bytes as its shape needs."""

    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.shape, self.dtype, self.fortran_order, self.data = state[-4:]

    def resolve(self, seen: dict[int, Any]) -> np.ndarray[Any, Any]:
        dtype = self.dtype.resolve()
        if not all(type(length) is int for length in self.shape):
            raise ValueError("an array whose shape is not made of integers")
        if len(self.data) != math.prod(self.shape) * (1 if dtype.hasobject else dtype.itemsize):
            raise ValueError("an array whose shape does not fit its data")
        if dtype.hasobject:
            elements = np.empty(len(self.data), dtype)
            for index, element in enumerate(self.data):
                elements[index] = _plain(element, seen)
        else:
            elements = np.frombuffer(bytearray(self.data), dtype)  # a copy of its own, so that it can be written to
        array: np.ndarray[Any, Any] = elements.reshape(self.shape, order="F" if self.fortran_order else "C")
        return array


def _array(shape: Any, dtype: Any, fortran_order: bool, data: Any) -> _Array:
    array = _Array()
    array.__setstate__((shape, dtype, fortran_order, data))
    return array


def _empty_array(subtype: object, shape: object, code: object) -> _Array:
    return _Array()


def _array_from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> _Array:
    return _array(shape, dtype, order == "F", data)


def _numpy_scalar(dtype: _Dtype, data: bytes) -> Any:
    if dtype.resolve().hasobject:
        raise ValueError("a numpy scalar that is an object")
    return _array((), dtype, False, data).resolve({})[()]


def _array_type(*arguments: object) -> None:
    raise ValueError("an array without data")


def _empty_bytes() -> bytes:
    return b""


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an encoding other than latin1")
    return text.encode("latin1")


# Pairs are compared as a whole, so that no dotted name leads from an admitted module to another.
PLAIN_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): dict,
    ("torch", "Size"): torch.Size,
    ("numpy", "ndarray"): _array_type,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1_bytes,  # how protocol 2 writes bytes
    ("__builtin__", "bytes"): _empty_bytes,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _numpy_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("core", "_core")},
}


class _Admitted:
    """One use of an entry of the table; a pickle may set attributes of what it is given, so it never gets the entry."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, path: Path) -> None:
        super().__init__(stream)
        self._path = path

    def find_class(self, module: str, name: str, /) -> Any:
        make = PLAIN_GLOBALS.get((module, name))
        if make is None:
            raise unsafe([f"{module}.{name}"], self._path)
        return _Admitted(make)

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafeFileError(f"{self._path} refers to objects outside itself", expected="plain data")


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """The value with every stand-in replaced by what it stands for; an object that occurs twice is made once."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray, np.generic, torch.Size)):
        return value
    if id(value) not in seen:
        seen[id(value)] = _plain_container(value, seen)
    return seen[id(value)]


def _plain_container(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {_plain(key, seen): _plain(item, seen) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)([_plain(item, seen) for item in value])
    if isinstance(value, _Array):
        return value.resolve(seen)
    if isinstance(value, _Dtype):
        return value.resolve()
    raise ValueError("it holds a function or class")
