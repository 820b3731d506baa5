"""`constraint=[pin]`: channels or frames are held at a value."""

from __future__ import annotations

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.constraint.base import RANGE_TOLERANCE, Constraint
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts

MAX_FRAMES = 5_000
"""The longest stimulus that figures are made of."""


class Pinned(Constraint):
    """Hold channels or frames at a value; other constraints see zeros there, so that a norm does not count them.

    Args:
        facts: what is known about the model.
        frames: frames that are held, such as [0,1,2]; negative ones count from the end.
        channels: names of channels that are held, in all frames.
        first: number of frames at the start that are held.
        last: number of frames at the end that are held.
        value: what they are held at, in standard deviations of the training set; 0 is the mean grey.

    Raises:
        SettingError: nothing is held, or a channel is not one of the model's.
    """

    pure = True

    def __init__(
        self,
        facts: ModelFacts,
        frames: list[int] | None = None,
        channels: list[str] | None = None,
        first: int = 0,
        last: int = 0,
        value: float = 0.0,
    ) -> None:
        require(0 <= first <= MAX_FRAMES, "first", first, f"0 to {MAX_FRAMES}")
        require(0 <= last <= MAX_FRAMES, "last", last, f"0 to {MAX_FRAMES}")
        for channel in channels or ():
            require(channel in facts.channels, "channels", channels, f"some of {', '.join(facts.channels)}")
        self.channels = tuple(facts.channels.index(channel) for channel in channels or ())
        self.frames = (*range(first), *(frames or ()), *range(-last, 0))
        self.value = float(value)
        if not self.channels and not self.frames:
            raise SettingError("constraint.pin holds nothing", repair="constraint.pin.first=15 constraint.pin.last=15")

    def held(self, x: Tensor) -> Tensor:
        """The values that are held, `(1, channel, time, 1, 1)`.

        Raises:
            SettingError: the stimulus does not have a frame.
        """
        frames = x.shape[2]
        for frame in self.frames:
            if not -frames <= frame < frames:
                raise SettingError(f"constraint.pin holds frame {frame}", expected=f"frames 0 to {frames - 1}")
        held = torch.zeros((1, x.shape[1], frames, 1, 1), dtype=torch.bool)
        held[:, list(self.channels)] = True
        held[:, :, list(self.frames)] = True
        return held.to(x.device)

    def process(self, x: Tensor) -> Tensor:
        """Set the values of `(batch, channel, time, height, width)`."""
        return x.masked_fill(self.held(x), self.value)

    def restore(self, x: Tensor) -> Tensor:
        """Set the values again."""
        return self.process(x)

    def check(self, x: Tensor) -> str | None:
        """Say by how much the values differ."""
        missed = float((x - self.process(x)).abs().max())
        if missed <= RANGE_TOLERANCE:
            return None
        return f"pinned values differ from {self.value:g} by up to {missed:.3g}: another rule moved them"

    def __repr__(self) -> str:
        channels = [f"channel {channel}" for channel in self.channels]
        frames = [f"{len(set(self.frames))} frames"] if self.frames else []
        return f"{' and '.join(channels + frames)} held at {self.value:g}"
