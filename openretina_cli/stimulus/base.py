"""Parameters: what the optimizer changes, and the stimulus that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

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


PIXELS = Parameters()
"""The pixels themselves, for problems whose start is given."""
