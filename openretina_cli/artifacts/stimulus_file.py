"""Reads `stimulus.pt` without torch: looking through thousands of runs must not wait for it, nor trust their files.

A file of `torch.save` is a zip archive: `data.pkl` says what the tensor looks like, `data/0` holds its numbers. The
pickle is not unpickled. The dozen instructions that torch writes for a tensor are followed here, none of which calls
anything, so there is nothing that a hostile file could have executed.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError

MAX_PICKLE_BYTES = 2**16
"""What describes one tensor takes 172 bytes."""

MAX_STIMULUS_BYTES = 2**31
"""Far above any stimulus (the published ones take 115 kB), and within the memory of a small machine."""


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle asks for; only its name is known."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The memory that a tensor lies in: the member of the archive, and how many numbers it holds."""

    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """What the pickle says about the tensor."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]


class _BrokenError(ValueError):
    """The file is not a float32 tensor as `torch.save` writes it."""


_MARK = object()

FLOATS = _Name("torch FloatStorage")
REBUILD = _Name("torch._utils _rebuild_tensor_v2")
EMPTY_MAPPING = _Name("collections OrderedDict")


def read_stimulus_file(path: Path) -> NDArray[np.float32]:
    """The stimulus `(channel, time, height, width)` in a file of `torch.save`.

    Args:
        path: a file with one contiguous float32 tensor `(1, channel, time, height, width)`, or without the first axis.

    Raises:
        ArtifactError: it cannot be read, is broken, or holds anything else.
    """
    with _explained(path), zipfile.ZipFile(path) as archive:
        tensor, folder = _tensor_of(archive)
        name = f"{folder}data/{tensor.storage.key}"
        content = _member(archive, name, MAX_STIMULUS_BYTES)
        if len(content) != 4 * tensor.storage.count:
            raise _BrokenError(f"{name} has {len(content)} bytes")
        order = ">f4" if _byte_order(archive, folder) == b"big" else "<f4"
        values = np.frombuffer(content, order, math.prod(tensor.shape), 4 * tensor.offset)
        return values.astype(np.float32).reshape(tensor.shape[-4:])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever a broken file makes a reader raise, as one line that names the file."""
    try:
        yield
    except Exception as error:
        reason = (
            str(error) if isinstance(error, _BrokenError) else getattr(error, "strerror", None) or type(error).__name__
        )
        raise ArtifactError(
            f"{path} is not a readable stimulus: {ascii(reason)[1:200].rstrip(chr(39))}",
            expected="one contiguous float32 tensor (1, channel, time, height, width), as torch.save writes it",
        ) from error


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes. Torch compresses nothing, and what is stored cannot be larger than the file."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise _BrokenError(f"{name} is compressed")
    if info.file_size > limit:
        raise _BrokenError(f"{name} has {info.file_size} bytes")
    return archive.read(info)


def _byte_order(archive: zipfile.ZipFile, folder: str) -> bytes:
    name = f"{folder}byteorder"  # torch < 2.1 did not write it
    return _member(archive, name, 16) if name in archive.namelist() else b"little"


def _tensor_of(archive: zipfile.ZipFile) -> tuple[_Tensor, str]:
    """The tensor's description, and the folder in the archive that holds its members."""
    names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        raise _BrokenError(f"{len(names)} members are named data.pkl")
    found = _Machine(_member(archive, names[0], MAX_PICKLE_BYTES)).run()
    if not isinstance(found, _Tensor):
        raise _BrokenError("it holds no tensor")
    return found, names[0].removesuffix("data.pkl")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_STIMULUS_BYTES


def _storage(pid: Any) -> _Storage:
    if not (isinstance(pid, tuple) and len(pid) == 5 and pid[:2] == ("storage", FLOATS)):
        raise _BrokenError("its numbers are not float32")
    key, count = pid[2], pid[4]
    if not (isinstance(key, str) and key.isdecimal() and _is_count(count)):
        raise _BrokenError("its memory is not described")
    return _Storage(key, count)


def _rebuild(arguments: Any) -> _Tensor:
    """What `_rebuild_tensor_v2(storage, offset, shape, stride, ...)` would make, once it is known to fit its memory."""
    storage, offset, shape, stride = arguments[:4]
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise _BrokenError("it holds no tensor")
    if not (_is_count(offset) and all(map(_is_count, shape)) and all(shape)):
        raise _BrokenError("its shape is not made of positive integers")
    if len(shape) not in (4, 5) or (len(shape) == 5 and shape[0] != 1):
        raise _BrokenError(f"its shape is {shape}")
    if offset + math.prod(shape) > storage.count:
        raise _BrokenError(f"its shape {shape} does not fit its {storage.count} numbers")
    if stride != tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape))):
        raise _BrokenError("it is not contiguous")
    return _Tensor(storage, offset, shape)


class _Machine:
    """Follows the instructions of a pickle that describes one tensor; any other instruction is refused."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the instructions lead to."""
        for code, argument, _ in pickletools.genops(io.BytesIO(self._content)):
            if code.name == "STOP":
                return self._stack.pop()
            self._follow(code.name, argument)
        raise _BrokenError("its description is cut off")

    def _follow(self, name: str, argument: Any) -> None:
        if name in ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"):
            self._stack.append(argument)
        elif name in ("NEWFALSE", "NEWTRUE", "EMPTY_TUPLE", "MARK"):
            self._stack.append({"NEWFALSE": False, "NEWTRUE": True, "EMPTY_TUPLE": (), "MARK": _MARK}[name])
        elif name == "GLOBAL":
            self._stack.append(_Name(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            self._stack.append(self._tuple(name))
        elif name == "BINPERSID":
            self._stack.append(_storage(self._stack.pop()))
        elif name == "REDUCE":
            self._stack.append(self._reduce())
        elif name != "PROTO":
            raise _BrokenError(f"its description holds a {name}")

    def _tuple(self, name: str) -> tuple[Any, ...]:
        items: list[Any] = []
        if name != "TUPLE":
            return tuple([self._stack.pop() for _ in range(int(name[-1]))][::-1])
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return tuple(items[::-1])

    def _reduce(self) -> Any:
        arguments, function = self._stack.pop(), self._stack.pop()
        if function == REBUILD and isinstance(arguments, tuple):
            return _rebuild(arguments)
        if function == EMPTY_MAPPING and arguments == ():
            return None  # a tensor's hooks, of which there are none
        raise _BrokenError(f"it asks for {function.name if isinstance(function, _Name) else 'something else'}")
