"""Bytes of files that torch reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch


def torch_bytes(state: Mapping[str, Any]) -> bytes:
    """What `torch.save` writes; through memory, as the bytes would otherwise depend on the file's name."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
