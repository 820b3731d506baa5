"""`objective=contrast`: the response in the window, less that in a baseline window."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import Model, Weights, summed
from openretina_cli.objective.cells import ChosenNeurons
from openretina_cli.reducer import ResponseReducer


class Contrast(ChosenNeurons):
    """The mean response of the chosen neurons in the run's window, less that in a baseline window.

    A transient response raises it, and one that lasts as long as the stimulus does not.

    Args:
        model: see `ChosenNeurons`.
        data_key: see `ChosenNeurons`.
        response_reducer: the window in which neurons are to respond.
        facts: see `ChosenNeurons`.
        neuron: see `ChosenNeurons`.
        group: see `ChosenNeurons`.
        baseline: the window that is subtracted.

    Raises:
        SettingError: the baseline is no reducer, or see `ChosenNeurons`.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        baseline: Annotated[Any, "{_target_:openretina_cli.reducer.SliceMeanReducer,start:0,length:10}"],
        group: int | None = None,
    ) -> None:
        known = isinstance(baseline, ResponseReducer)
        require(known, "baseline", baseline, "a reducer, with its _target_")
        super().__init__(model, data_key, response_reducer, facts, neuron, group)
        self._windows = (response_reducer, baseline)

    def score(self, response: Tensor) -> Tensor:
        """Subtract the baseline's reduced response."""
        trace = response[:, self._neuron_indices].mean(dim=-1)
        one, other = (reducer.forward(trace) for reducer in self._windows)
        return one - other

    def weights(self, frames: int) -> Weights | None:
        """Both means, where both reducers take one."""
        one, other = (self.mean_of(self._neuron_indices, frames, reducer) for reducer in self._windows)
        return summed([one, other and other.times(-1)])

    def window(self, frames: int) -> tuple[int, int]:
        """The span of both windows."""
        spans = [reducer.window(frames) for reducer in self._windows]
        return min(start for start, _ in spans), max(stop for _, stop in spans)

    def __repr__(self) -> str:
        return f"{super().__repr__()}, less {self._windows[1]!r}"
