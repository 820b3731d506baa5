"""Fast forms of models without layers, whose neurons look at the stimulus itself: some neurons, and one window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.readout import Readout


class DirectReadouts(nn.Module):
    """The mean response of several readouts to a part of the stimulus.

    Args:
        readouts: of the members.
        frames: stimulus frames.
        seen: those of them that the readouts take.
    """

    def __init__(self, readouts: Sequence[Readout], frames: int, seen: slice) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(readouts)
        self.frames = frames
        self.seen = seen

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to responses `(batch, window, neuron)`.

        Raises:
            ModelError: the stimulus has another number of frames than the fast form was made for.
        """
        if stimulus.shape[2] != self.frames:
            raise ModelError(f"the stimulus has {stimulus.shape[2]} frames", expected=f"{self.frames}")
        return torch.stack([readout(stimulus[:, :, self.seen]) for readout in self.readouts]).mean(0)


def direct_form(
    readouts: Sequence[Readout], neurons: Sequence[int], frames: int, window: tuple[int, int]
) -> DirectReadouts | None:
    """The fast form of readouts that look at the stimulus itself, where some neurons of them are a readout too.

    Args:
        readouts: of the members.
        neurons: the neurons asked for, in that order.
        frames: stimulus frames.
        window: the frames `[start, stop)` that the readouts answer for, counted in the stimulus.
    """
    chosen = [some for readout in readouts if (some := readout.of(neurons)) is not None]
    if len(chosen) != len(readouts):
        return None
    return DirectReadouts(chosen, frames, slice(window[0], window[1] + readouts[0].lag))
