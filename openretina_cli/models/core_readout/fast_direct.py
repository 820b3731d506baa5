"""Fast forms of models without layers, whose neurons look at the stimulus itself: some neurons, and one window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openretina_cli.models.core_readout.readout import Readout
from openretina_cli.models.fast_form import FastForm


class _Mean(nn.Module):
    """The mean response of several readouts."""

    def __init__(self, readouts: Sequence[Readout]) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(readouts)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to responses `(batch, time, neuron)`."""
        return torch.stack([readout(x) for readout in self.readouts]).mean(0)


def direct_form(
    readouts: Sequence[Readout], neurons: Sequence[int], frames: int, window: tuple[int, int]
) -> FastForm | None:
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
    return FastForm(nn.Sequential(), _Mean(chosen), frames, slice(window[0], window[1] + readouts[0].lag))
