"""The fast form of an ensemble: the same responses for one session, response window and set of neurons, sooner.

What does not depend on the stimulus is computed once (temporal kernels at the session's speed, batch norm, readout
masks), all members run as one, frames that cannot reach the window are left out, and weights are constants.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError, SettingError
from openretina_cli.models.fast_first import FirstLayer
from openretina_cli.models.fast_hidden import HiddenLayer
from openretina_cli.models.fast_layers import FoldedLayer, Readout
from openretina_cli.models.folding import CannotFoldError, Folded, fold
from openretina_cli.models.twin import Retina, the_session

logger = logging.getLogger(__name__)

Window = tuple[int, int]


class FastRetina(nn.Module):
    """The responses of some neurons in one window, for inference; see `fast_form`.

    Args:
        layers: from stimulus frames to features.
        readout: from features to responses.
        frames: stimulus frames.
        seen: those of them that the layers take.
    """

    def __init__(self, layers: nn.Sequential, readout: Readout, frames: int, seen: slice) -> None:
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


def layers_of(folded: Sequence[FoldedLayer], frames: int, field: tuple[int, int]) -> nn.Sequential:
    """Modules that take so many stimulus frames of a field of rows and columns."""
    layers = nn.Sequential()
    for layer in folded:
        grid = layer.grid(*field)
        layers.append((HiddenLayer if layers else FirstLayer)(layer, frames, grid))
        frames -= layer.lag
        field = grid.output
    return layers


class FastForms:
    """The fast forms of one model; what they share is made once.

    Args:
        retina: the model, frozen; fast forms are made on its device and in its precision, and do not hear of later
            changes.
    """

    def __init__(self, retina: Retina) -> None:
        self.retina = retina
        self._folded: dict[str, Folded | None] = {}
        self._layers: dict[tuple[str, int], nn.Sequential] = {}

    @torch.no_grad()
    def form(self, session: str, neurons: Sequence[int] | None, frames: int, window: Window | None) -> nn.Module | None:
        """The fast form for a session, window and set of neurons; see `fast_form`.

        Raises:
            ModelError: the model has no such session.
            SettingError: the window is empty, or outside the response.
        """
        facts = self.retina.facts
        session = the_session(facts.sessions, session)
        length = facts.response_frames(frames)
        start, stop = window or (0, length)
        if not 0 <= start < stop <= length:
            response = f"the response, which has {max(length, 0)} frames"
            raise SettingError(f"the window [{start}, {stop}) is outside {response}")
        if (folded := self._fold(session)) is None:
            return None
        seen = slice(start, stop + folded.lag)
        readout = folded.readout if neurons is None else folded.readout.of(neurons)
        return FastRetina(self._made(session, folded, seen.stop - seen.start), readout, frames, seen)

    def _fold(self, session: str) -> Folded | None:
        if session not in self._folded:
            try:
                self._folded[session] = fold(self.retina, session)
            except CannotFoldError as reason:
                logger.info("No fast form: %s. The plain form is used.", reason)
                self._folded[session] = None
        return self._folded[session]

    def _made(self, session: str, folded: Folded, frames: int) -> nn.Sequential:
        if (session, frames) not in self._layers:
            field = (self.retina.facts.height, self.retina.facts.width)
            self._layers[session, frames] = layers_of(folded.layers, frames, field)
        return self._layers[session, frames]


def fast_form(
    retina: Retina, session: str, neurons: Sequence[int] | None, frames: int, window: Window | None
) -> nn.Module | None:
    """Make a module that answers as `retina(stimulus, data_key=session)[:, start:stop, neurons]` does, but sooner.

    It agrees to float32 rounding, in the response and in its gradient with respect to the stimulus; the gradient is
    exactly zero in frames that do not reach the window. Later changes of the retina do not reach it.

    Args:
        retina: the model, frozen; the fast form is made on its device and in its precision.
        session: the session.
        neurons: the neurons asked for, in that order; None means all of the session.
        frames: stimulus frames.
        window: the response frames `[start, stop)` asked for; None means all.

    Returns:
        The fast form, or None for a model whose modules it does not know; the log says which.

    Raises:
        ModelError: the model has no such session.
        SettingError: the window is empty, or outside the response.
    """
    return FastForms(retina).form(session, neurons, frames, window)
