"""`stimulus=pixels`: the pixels are optimised themselves, from seeded noise or from a saved stimulus."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from openretina_cli.checks import positive, require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.stimulus.base import Constrain, Parameters, random_stimulus
from openretina_cli.stimulus.files import read_stimulus


class Pixels(Parameters):
    """The pixels of a stimulus, from normal noise under the constraints, or from a saved stimulus as it is.

    Args:
        facts: what is known about the model.
        seed: of the noise; equal seeds give equal noise on every device and in every batch.
        frames: length of the stimulus.
        mean: of the noise, in units of the training set's standard deviation.
        std: standard deviation of the noise, in the same units.
        norm: L2 norm that the constraints keep; they refer to it as `${stimulus.norm}`.
        file: a `.pt` or `.npy` file to start from; None starts from noise.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        facts: ModelFacts,
        seed: int,
        frames: int,
        mean: float = 0.0,
        std: float = 0.1,
        norm: float = 5.0,
        file: str | None = None,
    ) -> None:
        require(frames >= 1, "frames", frames, "1 or more")
        require(std >= 0, "std", std, "0 or more")
        positive("norm", norm)
        self.shape = (len(facts.channels), frames, facts.height, facts.width)
        self.seed, self.mean, self.std, self.file = seed, mean, std, file

    def initial(self, constrain: Constrain) -> Tensor:
        """The start `(channel, time, height, width)` on the CPU.

        Raises:
            SettingError: the file cannot be used.
        """
        if self.file is not None:
            return read_stimulus(self.file, self.shape)
        return constrain(random_stimulus(self.shape, self.seed, self.mean, self.std))

    def grouping(self) -> Hashable:
        """All pixels are decoded alike."""
        return Pixels
