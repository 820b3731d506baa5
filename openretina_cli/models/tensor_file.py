"""Tensors in files that users name: starts, movies and masks; nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openretina_cli.errors import SettingError
from openretina_cli.models.torch_file import read_torch_file

MAX_BYTES = 2**31
"""Size of a `.pt` file, which is read as a whole: 2,000 clips of 150 published frames take 700 MB."""


def _read(path: Path) -> object:
    if path.suffix == ".npy":  # mapped, so that no more is allocated than the file holds, whatever its header claims
        return torch.from_numpy(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))
    return read_torch_file(path, MAX_BYTES)


def read_tensor(name: str, file: str) -> Tensor:
    """Read a float32 tensor from a `.pt` or `.npy` file.

    Args:
        name: the setting that names the file, for errors.
        file: the path, with `~`.

    Raises:
        SettingError: the file cannot be read, or holds something else or values that are not finite.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise SettingError(f"{name}={path} does not exist")
    try:
        found = _read(path)
    except Exception as error:  # torch and numpy raise many kinds for a broken or hostile file
        raise SettingError(f"{name}={path} cannot be read: {type(error).__name__}", expected=".pt or .npy") from error
    if not isinstance(found, Tensor):
        raise SettingError(f"{name}={path} holds a {type(found).__name__}", expected="a tensor")
    found = found.detach().to(torch.float32)
    if not bool(torch.isfinite(found).all()):
        raise SettingError(f"{name}={path} holds NaN or infinity", expected="finite values")
    return found
