"""Reads `stimulus.pt` without torch.

A file of `torch.save` is a zip archive: `data.pkl` describes the tensor, `data/0` holds its numbers. The pickle is not
unpickled; the dozen opcodes that torch writes for a tensor are followed here, and none of them calls anything.

`torch.load(weights_only=True)` is no replacement: importing torch would make `report` wait for two seconds, its
unpickler hashes nested tuples of a hostile file (2^40 steps from 200 bytes), and it allocates what the file claims.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.store.files import RefusedError, read_bytes, refusing

MAX_PICKLE_BYTES = 2**16
"""Size of the description of a tensor, which takes 172 bytes."""

MAX_MEMBERS = 64
"""Members of an archive; torch writes seven."""

MAX_VALUES = 2**22
"""Values of a stimulus. The published ones have 28,800. Figure and video of more take over 10 s or 1 GB."""

MAX_CHANNELS = 16
MAX_FRAMES = 5_000
MAX_EDGE = 1_024
"""Pixels along each edge."""

MAX_RANK = 2_048
"""Frames or pixels, whichever are fewer. Taking a channel apart needs the cube of their number in operations."""

MAX_MEMBERS_OF_A_SET = 100
MAX_STACK_VALUES = 2**25
"""Values of a stack of stimuli; a hundred of the published ones have 2.9 million. 2**25 take 128 MB."""


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


_MARK = object()

FLOATS = _Name("torch FloatStorage")
REBUILD = _Name("torch._utils _rebuild_tensor_v2")
EMPTY_MAPPING = _Name("collections OrderedDict")


@dataclass(frozen=True)
class _Limits:
    """How many stimuli are read, and how many values."""

    stimuli: int = 1
    values: int = MAX_VALUES

    def holds(self, value: Any) -> bool:
        """Whether a value is a count within the limit."""
        return type(value) is int and 0 <= value <= self.values

    @property
    def file_bytes(self) -> int:
        """Largest size of a file."""
        return 4 * self.values + 2**20


def read_stimulus_file(path: Path) -> NDArray[np.float32]:
    """The stimulus `(channel, time, height, width)` in a file of `torch.save`.

    Args:
        path: a file with one contiguous float32 tensor `(1, channel, time, height, width)`, or without the first axis.

    Raises:
        ArtifactError: it cannot be read, is broken, is larger than `_check_size` takes, or holds anything else.
    """
    expected = "one contiguous float32 tensor (1, channel, time, height, width), as torch.save writes it"
    with refusing(path, expected, "is not a readable stimulus"):
        found = _read(path, _Limits())
        return found.reshape(found.shape[-4:])


def read_members_file(path: Path) -> NDArray[np.float32]:
    """The stimuli `(member, channel, time, height, width)` of a set, in a file of `torch.save`.

    Raises:
        ArtifactError: it cannot be read, is broken, is larger than `_Limits` say, or holds anything else.
    """
    expected = "one contiguous float32 tensor (member, channel, time, height, width), as torch.save writes it"
    with refusing(path, expected, "is not a readable stack of stimuli"):
        found = _read(path, _Limits(MAX_MEMBERS_OF_A_SET, MAX_STACK_VALUES))
        return found.reshape(-1, *found.shape[-4:])


def _read(path: Path, limits: _Limits) -> NDArray[np.float32]:
    with _opened(path, limits) as archive:
        tensor, folder = _tensor_of(archive, limits)
        name = f"{folder}data/{tensor.storage.key}"
        content = _member(archive, name, limits.file_bytes)
        if len(content) != 4 * tensor.storage.count:
            raise RefusedError(f"{name} has {len(content)} bytes")
        order = ">f4" if _byte_order(archive, folder) == b"big" else "<f4"
        values = np.frombuffer(content, order, math.prod(tensor.shape), 4 * tensor.offset)
        return values.astype(np.float32).reshape(tensor.shape)


def _opened(path: Path, limits: _Limits) -> zipfile.ZipFile:
    content = read_bytes(path, limits.file_bytes)
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:  # each would become an object of 500 bytes
        raise RefusedError(f"it has more than {MAX_MEMBERS} members")
    return zipfile.ZipFile(io.BytesIO(content))


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes. Torch compresses nothing, and what is stored cannot be larger than the file."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise RefusedError(f"{name} is compressed")
    if info.file_size > limit:
        raise RefusedError(f"{name} has {info.file_size} bytes")
    return archive.read(info)


def _byte_order(archive: zipfile.ZipFile, folder: str) -> bytes:
    name = f"{folder}byteorder"  # torch < 2.1 did not write it
    return _member(archive, name, 16) if name in archive.namelist() else b"little"


def _tensor_of(archive: zipfile.ZipFile, limits: _Limits) -> tuple[_Tensor, str]:
    """The tensor's description, and the folder in the archive that holds its members."""
    names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        raise RefusedError(f"{len(names)} members are named data.pkl")
    found = _Machine(_member(archive, names[0], MAX_PICKLE_BYTES), limits).run()
    if not isinstance(found, _Tensor):
        raise RefusedError("it holds no tensor")
    return found, names[0].removesuffix("data.pkl")


def _storage(pid: Any, limits: _Limits) -> _Storage:
    if not (isinstance(pid, tuple) and len(pid) == 5 and pid[:2] == ("storage", FLOATS)):
        raise RefusedError("its numbers are not float32")
    key, count = pid[2], pid[4]
    if not (isinstance(key, str) and key.isdecimal() and limits.holds(count)):
        raise RefusedError("its memory is not described")
    return _Storage(key, count)


def _rebuild(arguments: Any, limits: _Limits) -> _Tensor:
    """What `_rebuild_tensor_v2(storage, offset, shape, stride, ...)` would make, once it is known to fit its memory."""
    storage, offset, shape, stride = arguments[:4]
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise RefusedError("it holds no tensor")
    if not (limits.holds(offset) and all(map(limits.holds, shape)) and all(shape)):
        raise RefusedError("its shape is not made of positive integers")
    if len(shape) not in (4, 5) or (len(shape) == 5 and shape[0] > limits.stimuli):
        raise RefusedError(f"its shape is {shape}")
    _check_size(*shape[-4:])
    if offset + math.prod(shape) > storage.count:
        raise RefusedError(f"its shape {shape} does not fit its {storage.count} numbers")
    if stride != tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape))):
        raise RefusedError("it is not contiguous")
    return _Tensor(storage, offset, shape)


def _check_size(channels: int, frames: int, height: int, width: int) -> None:
    """Refuse a shape whose analysis or pictures would take more than seconds or a gigabyte."""
    fits = channels <= MAX_CHANNELS and frames <= MAX_FRAMES and max(height, width) <= MAX_EDGE
    if not (fits and min(frames, height * width) <= MAX_RANK):
        raise RefusedError(
            f"its shape is {(channels, frames, height, width)}, and at most {MAX_CHANNELS} channels, {MAX_FRAMES} "
            f"frames, {MAX_EDGE} pixels along an edge and {MAX_RANK} frames or pixels are read"
        )


class _Machine:
    """Follows the instructions of a pickle that describes one tensor; any other instruction is refused."""

    def __init__(self, content: bytes, limits: _Limits) -> None:
        self._content, self._limits = content, limits
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the instructions lead to."""
        for code, argument, _ in pickletools.genops(io.BytesIO(self._content)):
            if code.name == "STOP":
                return self._stack.pop()
            self._follow(code.name, argument)
        raise RefusedError("its description is cut off")

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
            self._stack.append(_storage(self._stack.pop(), self._limits))
        elif name == "REDUCE":
            self._stack.append(self._reduce())
        elif name != "PROTO":
            raise RefusedError(f"its description holds a {name}")

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
            return _rebuild(arguments, self._limits)
        if function == EMPTY_MAPPING and arguments == ():
            return None  # a tensor's hooks, of which there are none
        raise RefusedError(f"it asks for {function.name if isinstance(function, _Name) else 'something else'}")
