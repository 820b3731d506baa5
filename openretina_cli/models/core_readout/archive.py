"""The archive of a checkpoint: one pickle and one record of raw numbers per storage, checked before use.

`torch.load` ignores checksums and believes the sizes that a pickle states. Here every record is checked first, and a
tensor is made only from bytes that its record really holds.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from openretina_cli.errors import ModelError, UnsafeFileError
from openretina_cli.models.plain_pickle import shown

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
"""Element types by the name of torch's storage class."""


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """What a pickle says about a tensor, found to lie within its storage.

    Attributes:
        archive: the file that it is in.
        key: name of its storage.
        dtype: type of its elements.
        offset: its first element in the storage.
        shape: its lengths.
        strides: steps between its elements, in elements.
    """

    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    archive: Archive
    key: str
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def load(self) -> Tensor:
        """The tensor, on the CPU and with memory of its own."""
        raw = bytearray(self.archive.storage(self.key))
        if not raw or not math.prod(self.shape):
            return torch.zeros(self.shape, dtype=self.dtype)
        return torch.frombuffer(raw, dtype=self.dtype).as_strided(self.shape, self.strides, self.offset).clone()


@dataclass(frozen=True, eq=False)
class Storage:
    """What a pickle says about a storage, found to agree with its record."""

    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    archive: Archive
    key: str
    dtype: torch.dtype
    length: int

    def tensor(self, offset: object, shape: object, strides: object) -> StoredTensor:
        """A tensor in this storage.

        Raises:
            ValueError: it reaches beyond the storage, or would repeat numbers to more than the storage holds.
        """
        lengths, steps = _whole(shape), _whole(strides)
        (first,) = _whole((offset,))
        last = first + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
        count = math.prod(lengths)
        if count and (last >= self.length or count > self.length):
            raise ValueError(f"a tensor of shape {shown(str(lengths))} is larger than its storage")
        return StoredTensor(self.archive, self.key, self.dtype, first, lengths, steps)


def _whole(numbers: object) -> tuple[int, ...]:
    """Sizes as a pickle states them.

    Raises:
        ValueError: they are not a few whole numbers from zero up.
    """
    if not isinstance(numbers, (tuple, list)) or len(numbers) > 16:
        raise ValueError("a tensor whose sizes are not a list")
    if not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise ValueError("a tensor with a negative or impossible size")
    return tuple(numbers)


class Archive:
    """A file that `torch.save` wrote, in memory.

    Args:
        content: the whole file.
        path: where it is from, for errors.

    Raises:
        UnsafeFileError: the file is a TorchScript program.
        ModelError: the file is of another kind, damaged, or unpacks to more than its own size.
    """

    def __init__(self, content: bytes, path: Path) -> None:
        if not content.startswith(b"PK\x03\x04"):
            kind = "a web page" if content[:200].lstrip().lower().startswith((b"<!doctype", b"<html")) else "no archive"
            raise ModelError(f"{path} is {kind}", expected="a checkpoint as Lightning writes it")
        self.path = path
        self.size = len(content)
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        records = self._zip.infolist()
        self._sizes = {record.filename: record.file_size for record in records}
        if len(self._sizes) != len(records):
            raise ModelError(f"{path} holds two records of one name", expected="a file written by torch.save")
        if sum(self._sizes.values()) > len(content):  # torch never compresses
            raise ModelError(f"{path} unpacks to more than its own size", expected="a file written by torch.save")
        if any(name.endswith("constants.pkl") for name in self._sizes):
            raise UnsafeFileError(f"{path} is a TorchScript program", expected="a Lightning checkpoint")
        if damaged := self._zip.testzip():
            raise ModelError(f"{path} is damaged: {shown(damaged)} does not match its checksum")
        pickles = [name for name in self._sizes if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ModelError(f"{path} holds {len(pickles)} pickles named data.pkl", expected="a Lightning checkpoint")
        self._folder = pickles[0].removesuffix("data.pkl")
        if (order := f"{self._folder}byteorder") in self._sizes and self._zip.read(order) != b"little":
            raise ModelError(f"{path} was written by a big-endian machine", expected="a little-endian checkpoint")

    def pickle(self) -> bytes:
        """The pickle that says what is where."""
        return self._zip.read(f"{self._folder}data.pkl")

    def storage(self, key: str) -> bytes:
        """The numbers of one storage."""
        return self._zip.read(f"{self._folder}data/{key}")

    def find(self, key: object, kind: str, length: object) -> Storage:
        """The storage that a pickle refers to.

        Raises:
            ValueError: there is no such record, or its size is not what the pickle says.
        """
        if kind not in STORAGES:
            raise ValueError(f"a storage of type {shown(kind)}")
        size = self._sizes.get(f"{self._folder}data/{key}") if isinstance(key, str) else None
        if size is None:
            raise ValueError(f"it lacks the record data/{shown(str(key))}")
        dtype = STORAGES[kind]
        if type(length) is not int or length * dtype.itemsize != size:
            raise ValueError(f"the record data/{shown(str(key))} has {size} bytes, which is not what the pickle says")
        return Storage(self, str(key), dtype, length)
