"""Files that appear whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def write_whole(content: bytes, path: Path) -> None:
    """Write a file aside and move it into place."""
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    os.replace(aside, path)


def torch_bytes(state: Mapping[str, Any]) -> bytes:
    """What `torch.save` writes; through memory, as the bytes would otherwise depend on the file's name."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
