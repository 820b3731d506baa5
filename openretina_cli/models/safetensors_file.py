"""Reads files of safetensors: a header in JSON, then the bytes of the tensors.

Format: https://huggingface.co/docs/safetensors, "Format". The bounds are those of `safe_files`.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from openretina_cli.models.plain_pickle import MAX_DIMENSIONS

MAX_HEADER_BYTES = 2**24
"""Size of the header; some 100 bytes per tensor."""
METADATA = "__metadata__"
"""Entry of the header that is no tensor."""
DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}


def is_safetensors(content: bytes) -> bool:
    """Whether a file begins as this format does: eight bytes with the header's length, then a JSON object."""
    return content[8:9] == b"{" and 2 <= int.from_bytes(content[:8], "little") <= len(content) - 8


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        ValueError: the header is too large, or is no JSON of tensors that lie side by side within the file.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    if end - 8 > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {end - 8} bytes")
    header = json.loads(content[8:end])
    entries = {name: _Entry(name, entry) for name, entry in header.items() if name != METADATA}
    used = sorted((entry.begin, entry.end) for entry in entries.values())
    if any(first[1] > second[0] for first, second in pairwise(used)):
        raise ValueError("two tensors in one place")
    return {name: entry.tensor(content[end:]) for name, entry in entries.items()}


class _Entry:
    """What the header says about a tensor.

    Raises:
        ValueError: it is malformed.
    """

    def __init__(self, name: str, entry: Any) -> None:
        dtype, shape, places = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
        if dtype not in DTYPES:
            raise ValueError(f"{name} has elements of type {dtype}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not isinstance(places, list):
            raise ValueError(f"{name} has no shape")
        self.begin, self.end = places
        if not all(type(number) is int and 0 <= number < 2**48 for number in (*shape, *places)):
            raise ValueError(f"the shape of {name} is not made of whole numbers within the file")
        self.dtype, self.shape = DTYPES[dtype], shape
        if math.prod(shape) * self.dtype.itemsize != self.end - self.begin:
            raise ValueError(f"{name} of shape {tuple(shape)} does not fit its {self.end - self.begin} bytes")

    def tensor(self, content: bytes) -> Tensor:
        """The tensor, in memory of its own.

        Raises:
            ValueError: the file ends before it.
        """
        raw = bytearray(content[self.begin : self.end])
        if len(raw) != self.end - self.begin:
            raise ValueError("the file is cut off")
        return torch.frombuffer(raw, dtype=self.dtype).reshape(self.shape) if raw else torch.empty(self.shape)
