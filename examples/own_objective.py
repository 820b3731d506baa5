"""An objective of your own, as a class: the response of one cell, less that of another.

From this folder:

    openretina optimize objective=custom objective._target_=own_objective.Versus +objective.neuron=84 +objective.other=7
    openretina optimize --config-dir lab objective=versus neuron=84 objective.other=7

or from Python:

    optimize(objective=functools.partial(Versus, other=7), neuron=84)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from openretina_cli import AbstractObjective, ResponseReducer


class Versus(AbstractObjective):
    """The response of a cell in the window, less that of another cell.

    Args:
        model: passed by the tool, as the following two.
        data_key: the session.
        response_reducer: the window.
        neuron: whose response is made large.
        other: whose response is made small.
    """

    def __init__(self, model: Any, data_key: str, response_reducer: ResponseReducer, neuron: int, other: int) -> None:
        super().__init__(model, data_key)
        self.reducer, self.neuron, self.other = response_reducer, neuron, other

    def score(self, response: Tensor) -> Tensor:
        """Score the response `(time, neuron)` with a number; larger is better."""
        reduced = self.reducer.forward(response)
        return reduced[self.neuron] - reduced[self.other]

    def neurons(self) -> tuple[int, ...]:
        """The cells that `score` looks at: only these are computed."""
        return self.neuron, self.other

    def window(self, frames: int) -> tuple[int, int]:
        """The response frames that `score` looks at."""
        return self.reducer.window(frames)

    def __repr__(self) -> str:
        return f"neuron {self.neuron} versus neuron {self.other}"
