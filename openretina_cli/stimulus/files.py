"""Stimuli that users saved, to start from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from openretina_cli.errors import SettingError
from openretina_cli.store.tensors import load_tensors


def read_stimulus(path: Path, shape: tuple[int, int, int, int]) -> Tensor:
    """Read a stimulus from a `.pt` or `.npy` file; nothing in it is executed.

    Args:
        path: a file with a tensor `(channel, time, height, width)`, or with a leading batch axis of 1.
        shape: the `(channel, time, height, width)` that is needed.

    Raises:
        SettingError: the file cannot be read, or holds something else.
    """
    if not path.is_file():
        raise SettingError(f"stimulus.file={path} does not exist")
    try:
        stimulus = load_tensors(path)
    except Exception as error:  # torch and numpy raise many kinds for a broken or hostile file
        raise SettingError(
            f"stimulus.file={path} cannot be read: {type(error).__name__}", expected=".pt or .npy"
        ) from error
    if not isinstance(stimulus, Tensor):
        raise SettingError(f"stimulus.file={path} holds a {type(stimulus).__name__}", expected="a tensor")
    if stimulus.dim() == 5 and len(stimulus) == 1:
        stimulus = stimulus[0]
    if stimulus.shape != shape:
        raise SettingError(f"stimulus.file={path} holds shape {tuple(stimulus.shape)}", expected=f"{shape}")
    stimulus = stimulus.detach().to(torch.float32)
    if not bool(torch.isfinite(stimulus).all()):
        raise SettingError(f"stimulus.file={path} holds NaN or infinity", expected="finite values")
    return stimulus
