"""`objective=difference`: some neurons respond more than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from openretina_cli.objective.base import Weights, named, summed
from openretina_cli.objective.cells import ChosenPair
from openretina_cli.objective.stack import Scorer


class Difference(ChosenPair):
    """The reduced mean response of the chosen neurons, less that of the others; see `ChosenPair`."""

    def score(self, response: Tensor) -> Tensor:
        """Subtract the others' reduced response."""
        one, other = self.reduced(response)
        return one - other

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Subtract for all runs at once, where the reducer takes no mean."""
        pairs = cls.pairs(objectives, responses)
        signs = responses.new_tensor([1, -1])
        return lambda responses: pairs(responses) @ signs

    def weights(self, frames: int) -> Weights | None:
        """Both means, where the reducer takes one."""
        one, other = self.mean_of(self._ones, frames), self.mean_of(self._others, frames)
        return summed([one, other and other.times(-1)])

    def __repr__(self) -> str:
        return f"{named(self._ones)} less {named(self._others)}, {self._response_reducer!r}"
