"""`stimulus=clip`: the pixels are optimised, from a stretch of a movie."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from openretina_cli.checks import positive, require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.stimulus.base import PIXELS, Constrain, Parameters
from openretina_cli.stimulus.files import read_movies


class Clip(Parameters):
    """The pixels of a stimulus, from a stretch of a movie that the seed draws, under the constraints.

    Args:
        facts: what is known about the model.
        seed: equal seeds draw the same stretch.
        frames: length of the stimulus.
        movie: a `.pt` or `.npy` file of movies `(clip, channel, time, height, width)`, or one of them, z-scored.
        norm: L2 norm that the constraints keep; they refer to it as `${stimulus.norm}`.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(self, facts: ModelFacts, seed: int, frames: int, movie: str, norm: float = 5.0) -> None:
        require(frames >= 1, "frames", frames, "1 or more")
        positive("norm", norm)
        self.shape = (len(facts.channels), frames, facts.height, facts.width)
        self.seed, self.movie = seed, movie

    def initial(self, constrain: Constrain) -> Tensor:
        """The start `(channel, time, height, width)` on the CPU.

        Raises:
            SettingError: the file cannot be used.
        """
        movies = read_movies(self.movie, self.shape)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randint(2**31, (2,), generator=generator).tolist()
        frames = self.shape[1]
        first = drawn[1] % (movies.shape[2] - frames + 1)
        return constrain(movies[drawn[0] % len(movies), :, first : first + frames].clone())

    def grouping(self) -> Hashable:
        """All pixels are decoded alike."""
        return PIXELS.grouping()
