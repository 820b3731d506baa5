"""`objective=jitter`: the mean of another objective over small shifts of the stimulus."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.objective.base import OuterObjective

MOST_SAMPLES = 100
"""Samples at most; each costs as much as a run."""


class Jitter(OuterObjective):
    """The mean score of a stimulus that is shifted by whole pixels and frames, so that no single pixel decides.

    The shifts are drawn once, from the run's seed, uniformly from -pixels..pixels and -frames..frames, and are the same
    in all iterations: the score remains a function of the stimulus alone, which `keep=best`, a plateau and the reported
    objective need, and which a new draw in every iteration would not be. What is shifted out of the field is lost, and
    grey (0, the mean of the training set) comes in.

    Each iteration costs `samples` calls of the model, made as one batch per run.

    Args:
        seed: of the shifts.
        of: the objective.
        pixels: largest shift along height and width.
        frames: largest shift in time.
        samples: number of shifts.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        seed: int,
        of: Annotated[Any, "{_target_:openretina_cli.objective.mei.MostExcitingInput,neuron:3}"],
        pixels: int = 1,
        frames: int = 0,
        samples: int = 8,
    ) -> None:
        super().__init__(of)
        require(pixels >= 0, "pixels", pixels, "0 or more")
        require(frames >= 0, "frames", frames, "0 or more")
        require(1 <= samples <= MOST_SAMPLES, "samples", samples, f"1 to {MOST_SAMPLES}")
        generator = torch.Generator().manual_seed(seed)
        reach = (frames, pixels, pixels)
        drawn = [torch.randint(-most, most + 1, (samples,), generator=generator).tolist() for most in reach]
        self._reach = reach
        self.shifts: list[tuple[int, int, int]] = list(zip(*drawn, strict=True))

    def shifted(self, stimuli: Tensor) -> Tensor:
        """Stimuli `(batch, channel, time, height, width)`, shifted by each shift in turn, `(samples * batch, ...)`."""
        frames, rows, columns = self._reach
        padded = torch.nn.functional.pad(stimuli, (columns, columns, rows, rows, frames, frames))
        time, height, width = stimuli.shape[2:]
        return torch.cat(
            [
                padded.narrow(2, frames - t, time).narrow(3, rows - y, height).narrow(4, columns - x, width)
                for t, y, x in self.shifts
            ]
        )

    def forward(self, stimulus: Tensor) -> Tensor:
        """Score stimuli `(batch, channel, time, height, width)` with one number each, `(batch,)`."""
        scores = self._of.forward(self.shifted(stimulus))
        return scores.reshape(len(self.shifts), len(stimulus)).mean(0)

    def __repr__(self) -> str:
        frames, pixels, _ = self._reach
        return f"{self._of!r}, mean over {len(self.shifts)} shifts of up to {pixels} pixels and {frames} frames"
