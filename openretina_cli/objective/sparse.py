"""`objective=sparse`: one strong neuron in a silent field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from openretina_cli.objective.base import Model, ReducedObjective
from openretina_cli.objective.stack import Scorer
from openretina_cli.reducer import MeanReducer, ResponseReducer


class SparseObjective(ReducedObjective):
    """One neuron of the field responds, the others are silent.

    The score is twice the largest response of any neuron in any frame, less the sum over neurons of their mean
    response over time, as in the field objective of the package's example notebook (openretina 1.1.1).

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window of both terms; all frames by default.
    """

    def __init__(self, model: Model, data_key: str | None, response_reducer: ResponseReducer | None = None) -> None:
        super().__init__(model, data_key, response_reducer or MeanReducer())

    def score(self, response: Tensor) -> Tensor:
        """Twice the peak less the summed means."""
        start, stop = self._response_reducer.window(len(response))
        return 2 * response[start:stop].max() - self._response_reducer.forward(response).sum()

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """The neuron with the largest response in the window, and the others."""
        start, stop = self._response_reducer.window(len(response))
        winner = int(response[start:stop].amax(0).argmax())
        return (winner,), tuple(neuron for neuron in range(response.shape[1]) if neuron != winner)

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """The peaks and means of all runs at once."""
        reducer = objectives[0]._response_reducer
        start, stop = reducer.window(responses.shape[1])
        return lambda responses: (
            2 * responses[:, start:stop].amax((1, 2)) - reducer.forward(responses.transpose(0, 1)).sum(1)
        )

    def __repr__(self) -> str:
        return f"one strong neuron in a silent field, {self._response_reducer!r}"
