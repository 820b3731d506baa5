"""`objective=unit`: an inner unit of the model, by the name of its layer."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any

from torch import Tensor, nn

from openretina_cli.checks import require
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.layers import activations, layer
from openretina_cli.objective.base import AbstractObjective, Model, ReducedObjective, Weights
from openretina_cli.reducer import ResponseReducer

CENTER, MEAN = "center", "mean"


def _place(position: Any) -> tuple[int, int] | str:
    """A row and a column, or a word.

    Raises:
        SettingError: the position is something else.
    """
    pair = isinstance(position, (list, tuple)) and len(position) == 2
    if pair and all(isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in position):
        return position[0], position[1]
    require(position in (CENTER, MEAN), "position", position, "center, mean, or a row and a column such as [3,4]")
    return str(position)


class InnerUnit(ReducedObjective):
    """The activation of one channel of an inner layer, at one place or averaged over the layer's field.

    A layer answers `(batch, channel, time, height, width)`; `(batch, channel, height, width)` where the model takes
    images; `(batch, time, unit)` or `(batch, unit)` without a field. The window counts response frames: the last frame
    of the layer is the last frame of the response. Where the model answers once in several frames, the window counts
    frames of the layer.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        layer: name of the layer; `openretina models NAME --layers` lists them.
        channel: the channel, or unit.
        position: "center", row `height // 2` and column `width // 2`; `[row, column]`; or "mean" over the field.

    Raises:
        SettingError: the model has no such layer or channel, or the layer no such position.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        layer: Annotated[str, "LAYER"],
        channel: int = 0,
        position: Any = CENTER,
    ) -> None:
        super().__init__(model, data_key, response_reducer)
        require(channel >= 0, "channel", channel, "0 or more")
        self._facts, self._layer, self._channel, self._position = facts, layer, channel, _place(position)
        self._check_layer(model)

    def _check_layer(self, model: Model) -> None:
        if isinstance(model, nn.Module):
            layer(model, self._layer)

    @property
    def shared_call(self) -> Hashable:
        """Runs share a call where they read the same unit."""
        return super().shared_call, self._layer, self._channel, self._position

    @property
    def fits_fast_form(self) -> bool:
        """Fast forms have no inner layers."""
        return False

    @property
    def own_trace(self) -> str:
        """The unit, whose activation is drawn in the place of responses."""
        return f"channel {self._channel} of {self._layer}"

    def on(self, model: Model) -> AbstractObjective:
        """The same unit of another model.

        Raises:
            SettingError: the model has no such layer.
        """
        self._check_layer(model)
        return super().on(model)

    def respond(self, stimuli: Tensor) -> Tensor:
        """Activations `(batch, time, 1)` to stimuli `(batch, channel, time, height, width)`."""
        model = self._model
        if not isinstance(model, nn.Module):
            raise SettingError(f"layer={self._layer}: the model is no torch module", expected="an nn.Module")
        found = activations(model, self._layer, lambda: super(InnerUnit, self).respond(stimuli))
        trace = self._trace(found, len(stimuli))
        if self._facts.response_stride == 1:  # a strided response has no frame for each of the layer's
            trace = trace[:, -self._facts.response_frames(stimuli.shape[2]) :]
        return trace[:, :, None]

    def _trace(self, found: Tensor, batch: int) -> Tensor:
        """The unit's activation `(batch, time)` in the output of its layer."""
        axes = found.dim()
        if axes not in (2, 3, 4, 5) or len(found) != batch:
            raise SettingError(
                f"objective.layer={self._layer} answers {tuple(found.shape)} to {batch} stimuli",
                expected="(batch, channel, time, height, width), (batch, time, unit) or (batch, unit)",
            )
        if axes == 3:
            found = found.transpose(1, 2)  # (batch, unit, time)
        last = found.shape[1] - 1
        require(self._channel <= last, "objective.channel", self._channel, f"0 to {last} in layer {self._layer}")
        chosen = found[:, self._channel]
        if axes in (2, 3):
            expected = f"{CENTER}, as layer {self._layer} has no field"
            require(self._position == CENTER, "objective.position", self._position, expected)
            return chosen.reshape(batch, -1)
        return self._at_place(chosen if axes == 5 else chosen[:, None])

    def _at_place(self, chosen: Tensor) -> Tensor:
        """The activation `(batch, time)` at the position, of a channel `(batch, time, height, width)`."""
        if self._position == MEAN:
            return chosen.mean(dim=(2, 3))
        height, width = chosen.shape[2:]
        row, column = (height // 2, width // 2) if isinstance(self._position, str) else self._position
        inside = row < height and column < width
        field = f"a place in the field of layer {self._layer}, which has {height} rows and {width} columns"
        require(inside, "objective.position", [row, column], field)
        return chosen[:, :, row, column]

    def score(self, response: Tensor) -> Tensor:
        """Reduce the activation."""
        return self._response_reducer.forward(response[:, 0])

    def weights(self, frames: int) -> Weights | None:
        """The mean, where the reducer takes one."""
        return self.mean_of([0], frames)

    def __repr__(self) -> str:
        place = self._position if isinstance(self._position, str) else list(self._position)
        return f"layer {self._layer}, channel {self._channel}, {place}, {self._response_reducer!r}"
