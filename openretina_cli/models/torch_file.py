"""Reads what `torch.save` wrote, as data: tensors in containers, from both of its formats (zip, and pickles in a row).

torch's own loader is not used: with `weights_only=True` it executes nothing either, but it hashes and shares without
bound, and versions before 2.6 could be tricked through the tar format of 2016 (CVE-2025-32434) and TorchScript
archives. Both formats are refused here.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openretina_cli.errors import ModelError, UnsafeFileError
from openretina_cli.models.foreign_file import content_of, one_line_errors, shown
from openretina_cli.models.pickle_machine import Budget, Machine, StandIn, Unfolding
from openretina_cli.models.plain_pickle import MAX_DIMENSIONS, Globals, finder, ordered_dict
from openretina_cli.models.safe_files import LEGACY_MAGIC

WHOLE = "a whole file as torch.save writes it by default"


def read_torch_file(
    path: Path,
    limit: int,
    *,
    table: Mapping[tuple[str, str], Any] | None = None,
    unknown: Callable[[str, str], Any] | None = None,
) -> Any:
    """Reads a file of `torch.save` without executing anything in it, onto the CPU wherever it was saved.

    Args:
        path: the file.
        limit: largest size in bytes.
        table: what the file may ask for beside tensors and containers, by module and name: functions that make data
            (they are called with what the file says, so they must check it), or constants. `PLAIN_GLOBALS` admits
            numpy arrays.
        unknown: what any other function or class is replaced by, such as `InertClass`; None refuses the file.

    Returns:
        What was saved, made of dicts, lists, tuples, numbers, strings, tensors, and what `table` and `unknown` make.
        Every tensor has memory of its own.

    Raises:
        UnsafeFileError: the file asks for something that is not in the table.
        ModelError: the file cannot be read, is damaged or cut off, or unfolds to more than a few times its size.
    """
    content = content_of(path, limit)
    with one_line_errors(path, "checkpoint"):
        budget = Budget(len(content))
        find = finder({**TENSOR_GLOBALS, **(table or {})}, path, unknown)
        read = _read_zip if content.startswith(b"PK\x03\x04") else _read_pickles  # the rule by which torch tells them
        return read(content, path, find, budget)


class _Storage(StandIn):
    """The memory of tensors: where its bytes are is known when the file has been read.

    Args:
        dtype: type of the elements; None for plain bytes.
        key: name of the storage in the file.
        length: elements, or bytes where `dtype` is None.
    """

    def __init__(self, dtype: torch.dtype | None, key: str, length: int) -> None:
        self.dtype = dtype
        self.key = key
        self.length = length
        self.content = b""
        self.start = 0

    @property
    def size(self) -> int:
        """Bytes, as the pickle says."""
        return self.length * (1 if self.dtype is None else self.dtype.itemsize)

    def place(self, content: bytes, start: int, size: int) -> None:
        """Say where in the file the bytes of the storage are.

        Raises:
            ValueError: the file holds another number of bytes than the pickle says.
        """
        if size != self.size or start + size > len(content):
            raise ValueError(f"storage {self.key} does not hold what the pickle says")
        self.content, self.start = content, start

    def tensor(self, dtype: torch.dtype, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
        """A tensor of its own memory, filled from the storage."""
        size = dtype.itemsize
        begin, steps = self.start + offset * size, [step * size for step in stride]
        # numpy reads where the file lies, also where it is not aligned, and checks the bounds again
        content = self.content if math.prod(shape) else b""
        elements = np.ndarray(shape, f"i{size}", content, begin if content else 0, steps).copy(order="C")
        return torch.from_numpy(elements).view(dtype)


class _Tensor(StandIn):
    """What a pickle says about a tensor."""

    def __init__(self, storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype | None) -> None:
        self.storage, self.offset, self.shape, self.stride, self.dtype = storage, offset, shape, stride, dtype

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        shape, stride = tuple(self.shape), tuple(self.stride)
        numbers = (self.offset, *shape, *stride)
        if not isinstance(self.storage, _Storage) or len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
            raise ValueError("a tensor without a storage or shape")
        if not all(type(number) is int and 0 <= number < 2**48 for number in numbers):
            raise ValueError("a tensor whose shape is not made of whole numbers within the file")
        dtype = self.storage.dtype or self.dtype
        if not isinstance(dtype, torch.dtype):
            raise ValueError("a tensor without a type of elements")
        count = math.prod(shape)
        last = self.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if count else -1
        if max(last + 1, count) * dtype.itemsize > self.storage.size:
            raise ValueError(f"a tensor of shape {shape} is larger than its storage")
        size = count * max(dtype.itemsize, 4)  # what it takes once it is float32
        unfold.budget.spend(size)
        return self.storage.tensor(dtype, self.offset, shape, stride), 1 + size, 0


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, stride, None)


def _typed_tensor(storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, stride, dtype)


def _parameter(data: Any, *_: Any) -> Any:
    if not isinstance(data, _Tensor):
        raise ValueError(f"a parameter made of a {type(data).__name__}")
    return data


_STORAGES = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    "Bool": torch.bool,
}
_UNTYPED = "bytes"

TENSOR_GLOBALS: Globals = {
    ("collections", "OrderedDict"): ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    **{("torch._utils", name): _parameter for name in ("_rebuild_parameter", "_rebuild_parameter_with_state")},
    ("torch.storage", "UntypedStorage"): _UNTYPED,
    **{("torch", f"{name}Storage"): dtype for name, dtype in _STORAGES.items()},
    **{("torch", str(dtype).removeprefix("torch.")): dtype for dtype in _STORAGES.values()},
    **{("torch", name): getattr(torch, name) for name in ("uint16", "uint32", "uint64")},
}


class _Storages:
    """The storages that a pickle refers to, each made once.

    Args:
        path: the file, for errors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: dict[str, _Storage] = {}

    def refer(self, pid: Any) -> _Storage:
        """The storage that a persistent id stands for."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise UnsafeFileError(f"{self.path} refers to objects outside itself", expected="plain data")
        kind, key, _, length, *view = pid[1:]
        dtype = kind if isinstance(kind, torch.dtype) else None
        whole = type(length) is int and 0 <= length < 2**48 and isinstance(key, str) and view in ([], [None])
        if not whole or (dtype is None and kind != _UNTYPED):
            raise ValueError("a storage of unknown kind or length")
        storage = self.made.setdefault(key, _Storage(dtype, key, length))
        if (storage.dtype, storage.length) != (dtype, length):
            raise ValueError(f"two different storages {key}")
        return storage


def _read_zip(content: bytes, path: Path, find: Callable[[str, str], Any], budget: Budget) -> Any:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > len(content):  # torch never compresses
            raise ModelError(f"{path} unpacks to more than its own size", expected="a file written by torch.save")
        if any(record.filename.endswith("constants.pkl") for record in records):
            raise UnsafeFileError(f"{path} is a TorchScript program", expected="a state_dict saved by torch.save")
        if damaged := archive.testzip():
            raise ModelError(f"{path} is damaged: {shown(damaged)} does not match its checksum")
        pickles = [record.filename for record in records if record.filename.count("/") == 1]
        root = next(name for name in [*pickles, ""] if name.endswith("/data.pkl") or not name).removesuffix("data.pkl")
        if not root:
            raise ModelError(f"{path} is not a readable checkpoint: it holds no data.pkl", expected=WHOLE)
        places = {record.filename: record for record in records}
        if f"{root}byteorder" in places and archive.read(f"{root}byteorder") != sys.byteorder.encode():
            raise ModelError(f"{path} was saved on a machine with another order of bytes", expected=sys.byteorder)
        storages = _Storages(path)
        loaded = Machine(find, storages.refer, budget).run(io.BytesIO(archive.read(f"{root}data.pkl")))
        for key, storage in storages.made.items():
            record = places[f"{root}data/{key}"]
            storage.place(content, _start(content, record), record.file_size)
    return Unfolding(budget, (torch.dtype,))(loaded)[0]


def _start(content: bytes, record: zipfile.ZipInfo) -> int:
    """Where in the archive the bytes of an uncompressed record begin."""
    if record.compress_type != zipfile.ZIP_STORED:
        raise ValueError("a compressed storage")
    name, extra = struct.unpack_from("<HH", content, record.header_offset + 26)
    return int(record.header_offset + 30 + name + extra)


def _read_pickles(content: bytes, path: Path, find: Callable[[str, str], Any], budget: Budget) -> Any:
    if content[257:262] == b"ustar":
        raise UnsafeFileError(f"{path} is a tar archive, which is not safe to read", repair="save it with torch >= 1.6")
    stream, storages = io.BytesIO(content), _Storages(path)
    machine = Machine(find, storages.refer, budget)
    if machine.run(stream) != LEGACY_MAGIC:
        raise ModelError(f"{path} is not a readable checkpoint", expected=WHOLE)
    machine.run(stream)  # version of the protocol
    machine.run(stream)  # what the machine calls short, int and long
    loaded = machine.run(stream)
    keys = machine.run(stream)
    position = stream.tell()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages.made):
        raise ValueError("other storages than the pickle says")
    for key in keys:
        storage = storages.made[key]
        (length,) = struct.unpack_from("<q", content, position)
        size = length * (1 if storage.dtype is None else storage.dtype.itemsize)
        storage.place(content, position + 8, size)
        position += 8 + size
    return Unfolding(budget, (torch.dtype,))(loaded)[0]
