"""What all fast forms share: modules that answer for some neurons in one window, sooner than their model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from openretina_cli.errors import ModelError

Window = tuple[int, int]
"""Response frames `[start, stop)`."""


class CannotFoldError(Exception):
    """Why a model has no fast form."""


class FastForm(nn.Module):
    """The responses of some neurons in one window, for inference; see `Retina.fast_form`.

    Args:
        layers: from stimulus frames to features.
        readout: from features to responses.
        frames: stimulus frames.
        seen: those of them that the layers take.
    """

    def __init__(self, layers: nn.Sequential, readout: nn.Module, frames: int, seen: slice) -> None:
        super().__init__()
        self.layers = layers
        self.readout = readout
        self.frames = frames
        self.seen = seen

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to responses `(batch, window, neuron)`.

        Raises:
            ModelError: the stimulus has another number of frames than the fast form was made for.
        """
        if stimulus.shape[2] != self.frames:
            raise ModelError(f"the stimulus has {stimulus.shape[2]} frames", expected=f"{self.frames}")
        responses: Tensor = self.readout(self.layers(stimulus[:, :, self.seen]))
        return responses


class Folded(Protocol):
    """What of a model does not depend on the stimulus, worked out once; fast forms are made of it."""

    def form(self, session: str, neurons: Sequence[int], frames: int, window: Window) -> nn.Module:
        """Make a fast form; raise `CannotFoldError` where a part of the model is of a kind that is not known."""
        ...
