"""`objective=ratio`: some neurons respond many times as much as others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import Model, named
from openretina_cli.objective.cells import ChosenPair
from openretina_cli.objective.stack import Scorer
from openretina_cli.reducer import ResponseReducer


class Ratio(ChosenPair):
    """The reduced mean response of the chosen neurons, over that of the others plus an offset; see `ChosenPair`.

    Where the denominator is not positive the score is NaN, which ends the run at the last good stimulus: beyond zero a
    more negative response of the others would count as a better one.

    Args:
        model: see `ChosenPair`.
        data_key: see `ChosenPair`.
        response_reducer: see `ChosenPair`.
        facts: see `ChosenPair`.
        neuron: see `ChosenPair`.
        group: see `ChosenPair`.
        other_neuron: see `ChosenPair`.
        other_group: see `ChosenPair`.
        offset: added to the denominator, in units of the response.

    Raises:
        SettingError: the offset is negative or not finite, or see `ChosenPair`.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
        other_neuron: Any = None,
        other_group: int | None = None,
        offset: float = 0.1,
    ) -> None:
        require(0 <= offset < math.inf, "offset", offset, "0 or more")
        super().__init__(model, data_key, response_reducer, facts, neuron, group, other_neuron, other_group)
        self._offset = offset

    def score(self, response: Tensor) -> Tensor:
        """Divide by the others' reduced response and the offset."""
        one, other = self.reduced(response)
        denominator = other + self._offset
        return torch.where(denominator > 0, one / denominator, math.nan)

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Divide for all runs at once."""
        pairs, offsets = cls.pairs(objectives, responses), responses.new_tensor([one._offset for one in objectives])

        def score(responses: Tensor) -> Tensor:
            one, other = pairs(responses).unbind(1)
            denominator = other + offsets
            return torch.where(denominator > 0, one / denominator, math.nan)

        return score

    def __repr__(self) -> str:
        offset = f" + {self._offset:g}" if self._offset else ""
        return f"{named(self._ones)} over {named(self._others)}{offset}, {self._response_reducer!r}"
