"""Parameters: what the optimizer changes, and the stimulus that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from openretina_cli.checks import positive, require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.stimulus.files import read_stimulus

Constrain = Callable[[Tensor], Tensor]
"""Brings a stimulus `(channel, time, height, width)` under the constraints of a run."""


def random_stimulus(shape: tuple[int, int, int, int], seed: int, mean: float, std: float) -> Tensor:
    """Normal noise `(channel, time, height, width)` on the CPU: the same for a seed on every device, in every batch."""
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(shape, generator=generator)


class Parameters:
    """A parameterisation of stimuli. The base takes the pixels themselves for the parameters.

    `decode` and `encode` work on a batch, each row alone. `decode` is differentiable; `decode(encode(x))` is the
    nearest stimulus to `x` that the parameterisation can make.
    """

    def initial(self, constrain: Constrain) -> Tensor:
        """The stimulus `(channel, time, height, width)` to start from, on the CPU.

        Args:
            constrain: the constraints of the run.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method initial(constrain)")

    def candidates(self, constrain: Constrain) -> Tensor:
        """Starts `(candidate, channel, time, height, width)`, of which a run takes the one with the largest score.

        The base has one, `initial`.
        """
        return self.initial(constrain)[None]

    def decode(self, parameters: Tensor) -> Tensor:
        """Stimuli `(batch, channel, time, height, width)` made of parameters `(batch, ...)`."""
        return parameters

    def encode(self, stimuli: Tensor) -> Tensor:
        """The nearest parameters `(batch, ...)` of stimuli `(batch, channel, time, height, width)`."""
        return stimuli

    def grouping(self) -> Hashable:
        """What two parameterisations have in common if they decode and encode alike, so that runs can share calls.

        The base says that only this object decodes as it does.
        """
        return id(self)


class FromNoise(Parameters):
    """Starts from normal noise, or the nearest to it that can be made, under the constraints; or from a saved stimulus.

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
        noise = random_stimulus(self.shape, self.seed, self.mean, self.std)[None]
        return constrain(self.decode(self.encode(noise))[0])


PIXELS = Parameters()
"""The pixels themselves, for problems whose start is given."""
