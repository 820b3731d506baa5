"""Reads `stimuli.npz`, the stack of a sweep's stimuli, as untrusted data and row by row.

The arrays lie uncompressed in a zip archive, so that a row is read from its place in the file; nothing is allocated
that the file does not hold.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.store.files import RefusedError, refusing

STACK = re.compile(r"stimuli(_[0-9]+(x[0-9]+){3})?")
EXPECTED = "stimuli.npz as openretina report writes it"
MAX_MEMBERS = 1_000
MAX_INDEX_BYTES = 2**26
"""Size of an array of the index; a name of a folder takes some hundred bytes."""
LOCAL_HEADER = 30
"""Bytes of a member's own header before its name (PKWARE APPNOTE 6.3.10, section 4.3.7)."""
MAX_HEADER = 2**16


@dataclass(frozen=True)
class Stack:
    """Stimuli of one shape.

    Attributes:
        path: the file.
        shape: `(run, channel, time, height, width)`.
        start: where the numbers begin in the file.
        index: arrays that say what each row is, by name.
    """

    path: Path
    shape: tuple[int, ...]
    start: int
    index: dict[str, NDArray[np.generic]]

    def row(self, number: int) -> NDArray[np.float32]:
        """The stimulus `(channel, time, height, width)` of a row.

        Raises:
            ArtifactError: the file cannot be read.
        """
        count = math.prod(self.shape[1:])
        with refusing(self.path, EXPECTED), self.path.open("rb") as file:
            file.seek(self.start + 4 * count * number)
            content = file.read(4 * count)
            if len(content) != 4 * count:
                raise RefusedError("it ends early")
            return np.frombuffer(content, "<f4").astype(np.float32).reshape(self.shape[1:])


def read_stacks(path: Path) -> list[Stack]:
    """The stacks in a file, one for each shape of stimuli.

    Raises:
        ArtifactError: the file cannot be read, or holds something else.
    """
    with refusing(path, EXPECTED):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise RefusedError("it is not a regular file")
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) > MAX_MEMBERS:
                raise RefusedError(f"it has more than {MAX_MEMBERS} members")
            names = [name for name in members if STACK.fullmatch(name)]
            if not names:
                raise RefusedError("it holds no array called stimuli")
            return [_stack(path, archive, members, name) for name in names]


def _stack(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Stack:
    info = members[name]
    with path.open("rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack("<26x2H", file.read(LOCAL_HEADER))
        begin = info.header_offset + LOCAL_HEADER + sum(lengths)
        file.seek(begin)
        head = io.BytesIO(file.read(MAX_HEADER))
    shape, header = _header(head, info)
    if len(shape) != 5 or info.compress_type != zipfile.ZIP_STORED or info.file_size != header + 4 * math.prod(shape):
        raise RefusedError(f"{name} is no plain array of stimuli")
    suffix = name.removeprefix("stimuli")
    index = {key: _small(archive, members[key + suffix]) for key in INDEX if key + suffix in members}
    if any(len(values) != shape[0] for values in index.values()):
        raise RefusedError(f"its index does not fit {name}")
    return Stack(path, shape, begin + header, index)


INDEX = ("folder", "session", "neurons", "seed", "channels", "frame_rate_hz")


def _header(head: io.BytesIO, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], int]:
    """The shape of a float32 array, and the bytes before its numbers."""
    version = np.lib.format.read_magic(head)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(head)
    if fortran or kind != np.dtype("<f4"):
        raise RefusedError(f"{info.filename} is not float32, row by row")
    return shape, head.tell()


def _small(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.generic]:
    if info.file_size > MAX_INDEX_BYTES or info.compress_type != zipfile.ZIP_STORED:
        raise RefusedError(f"{info.filename} has {info.file_size} bytes")
    with archive.open(info) as member:
        found: NDArray[np.generic] = np.lib.format.read_array(member, allow_pickle=False)
    if found.ndim != 1:
        raise RefusedError(f"{info.filename} has {found.ndim} axes")
    return found
