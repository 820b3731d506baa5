"""`stimulus=clip`: the pixels are optimised, from a stretch of a movie, or the best of several for the neuron."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated

import torch
from torch import Tensor

from openretina_cli.checks import positive, require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.stimulus.base import PIXELS, Constrain, Parameters
from openretina_cli.stimulus.files import read_movies

MOST = 1_000
"""Stretches that a run scores at most; those of a published stimulus take 115 MB."""


class Clip(Parameters):
    """The pixels of a stimulus, from a stretch of a movie that the seed draws, under the constraints.

    Args:
        facts: what is known about the model.
        seed: equal seeds draw the same stretches.
        frames: length of the stimulus.
        movie: a `.pt` or `.npy` file of movies `(clip, channel, time, height, width)`, or one of them, z-scored.
        best_of: stretches that are drawn; the run starts from the one with the largest objective less penalty.
        norm: L2 norm that the constraints keep; they refer to it as `${stimulus.norm}`.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        facts: ModelFacts,
        seed: int,
        frames: int,
        movie: Annotated[str, "MOVIES.npy"],
        best_of: int = 1,
        norm: float = 5.0,
    ) -> None:
        require(frames >= 1, "frames", frames, "1 or more")
        require(1 <= best_of <= MOST, "best_of", best_of, f"1 to {MOST}")
        positive("norm", norm)
        self.shape = (len(facts.channels), frames, facts.height, facts.width)
        self.seed, self.movie, self.best_of = seed, movie, best_of

    def initial(self, constrain: Constrain) -> Tensor:
        """The first of the candidates."""
        return self.candidates(constrain)[0]

    def candidates(self, constrain: Constrain) -> Tensor:
        """The stretches `(candidate, channel, time, height, width)` on the CPU, each under the constraints.

        Raises:
            SettingError: the file cannot be used.
        """
        movies, frames = read_movies(self.movie, self.shape), self.shape[1]
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randint(2**31, (self.best_of, 2), generator=generator)
        clips, firsts = drawn[:, 0] % len(movies), drawn[:, 1] % (movies.shape[2] - frames + 1)
        places = zip(clips.tolist(), firsts.tolist(), strict=True)
        return torch.stack([constrain(movies[clip, :, first : first + frames].clone()) for clip, first in places])

    def grouping(self) -> Hashable:
        """All pixels are decoded alike."""
        return PIXELS.grouping()
