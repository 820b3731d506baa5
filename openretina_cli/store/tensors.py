"""Reads files of tensors that the user names, or that an earlier command wrote; nothing in them is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load_tensors(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU; of a file `.npy`, its array as a tensor.

    Raises:
        Exception: torch and NumPy raise many kinds for a broken or hostile file.
    """
    import numpy as np  # NumPy and torch, which the other readers of this room do without
    import torch

    if path.suffix == ".npy":
        return torch.from_numpy(np.load(path, allow_pickle=False))
    return torch.load(path, map_location="cpu", weights_only=True)
