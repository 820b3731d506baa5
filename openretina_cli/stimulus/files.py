"""Stimuli and movies that users saved, to start from or to learn a spectrum from."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.errors import SettingError
from openretina_cli.models.tensor_file import read_tensor

Shape = tuple[int, int, int, int]
"""`(channel, time, height, width)`."""


def read_stimulus(file: str, shape: Shape) -> Tensor:
    """Read a stimulus from a `.pt` or `.npy` file; nothing in it is executed.

    Args:
        file: a file with a tensor `(channel, time, height, width)`, or with a leading batch axis of 1.
        shape: the `(channel, time, height, width)` that is needed.

    Raises:
        SettingError: the file cannot be read, or holds something else.
    """
    stimulus = read_tensor("stimulus.file", file)
    if stimulus.dim() == 5 and len(stimulus) == 1:
        stimulus = stimulus[0]
    if stimulus.shape != shape:
        raise SettingError(f"stimulus.file={file} holds shape {tuple(stimulus.shape)}", expected=f"{shape}")
    return stimulus


def read_movies(file: str, shape: Shape, setting: str = "stimulus.movie") -> Tensor:
    """Read movies `(clip, channel, time, height, width)`, z-scored, at least as long as a stimulus.

    Args:
        file: a `.pt` or `.npy` file with such a tensor, or with one movie `(channel, time, height, width)`.
        shape: the `(channel, time, height, width)` of a stimulus.
        setting: that names the file, for errors.

    Raises:
        SettingError: the file cannot be read, or its movies do not fit.
    """
    movies = read_tensor(setting, file)
    movies = movies[None] if movies.dim() == 4 else movies
    channels, frames, height, width = shape
    fits = movies.dim() == 5 and len(movies) and movies.shape[1] == channels and movies.shape[3:] == (height, width)
    if not fits or movies.shape[2] < frames:
        expected = f"(clip, {channels}, time, {height}, {width}) with {frames} frames or more"
        raise SettingError(f"{setting}={file} holds shape {tuple(movies.shape)}", expected=expected)
    return movies
