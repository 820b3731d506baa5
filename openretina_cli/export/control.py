"""Controls: what is shown beside a stimulus, made of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import SettingError

Stimulus = NDArray[np.float32]
Control = Callable[[Stimulus, int], Stimulus]
"""Makes a control of a stimulus `(channel, time, height, width)` and a seed."""


def shuffled(stimulus: Stimulus, seed: int) -> Stimulus:
    """The frames in random order: the same pictures and norm without their time course."""
    order = np.random.default_rng(seed).permutation(stimulus.shape[1])
    return stimulus[:, order]


def contrast_reversed(stimulus: Stimulus, seed: int) -> Stimulus:
    """Every value with the other sign: the same norm and frequencies, with dark for bright."""
    del seed
    return -stimulus


def natural_of(movies: Stimulus, name: str) -> Control:
    """Makes stretches of movies with the norm of the stimulus.

    Args:
        movies: `(clip, channel, time, height, width)`.
        name: the file, for errors.
    """

    def natural(stimulus: Stimulus, seed: int) -> Stimulus:
        channels, frames, height, width = stimulus.shape
        fits = movies.shape[1] == channels and movies.shape[2] >= frames and movies.shape[3:] == (height, width)
        if not fits:
            expected = f"(clip, {channels}, time, {height}, {width}) with {frames} frames or more"
            raise SettingError(f"export.protocol.movie={name} holds shape {movies.shape}", expected=expected)
        generator = np.random.default_rng(seed)
        first = int(generator.integers(movies.shape[2] - frames + 1))
        stretch = movies[int(generator.integers(len(movies))), :, first : first + frames].astype(np.float64)
        size = np.linalg.norm(stretch)
        if size == 0:
            raise SettingError(f"export.protocol.movie={name} has a stretch without contrast", repair="another movie")
        found: Stimulus = (stretch * (np.linalg.norm(stimulus.astype(np.float64)) / size)).astype(np.float32)
        return found

    return natural


def controls_of(kinds: list[str], movie: str | None) -> dict[str, Control]:
    """What is shown of each run, by kind: the stimulus first, then the controls.

    Raises:
        SettingError: the movie cannot be read.
    """
    known = {"shuffle": shuffled, "reversed": contrast_reversed}
    found = {kind: known.get(kind) or natural_of(*_movies(movie or "")) for kind in kinds}
    return {"stimulus": lambda stimulus, _: stimulus, **found}


def _movies(name: str) -> tuple[Stimulus, str]:
    """The movies `(clip, channel, time, height, width)` of a file, and its name."""
    from openretina_cli.models.tensor_file import read_tensor  # torch, which other controls do not wait for

    movies = read_tensor("export.protocol.movie", name).numpy()
    movies = movies[None] if movies.ndim == 4 else movies
    if movies.ndim != 5 or not len(movies):
        expected = "(clip, channel, time, height, width)"
        raise SettingError(f"export.protocol.movie={name} holds shape {movies.shape}", expected=expected)
    return movies, name
