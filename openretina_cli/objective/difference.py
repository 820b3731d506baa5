"""`objective=difference`: some neurons respond more than others."""

from __future__ import annotations

from torch import Tensor

from openretina_cli.objective.base import Weights, named, summed
from openretina_cli.objective.cells import ChosenPair


class Difference(ChosenPair):
    """The reduced mean response of the chosen neurons, less that of the others; see `ChosenPair`."""

    def score(self, response: Tensor) -> Tensor:
        """Subtract the others' reduced response."""
        one, other = self.reduced(response)
        return one - other

    def weights(self, frames: int) -> Weights | None:
        """Both means, where the reducer takes one."""
        one, other = self.mean_of(self._ones, frames), self.mean_of(self._others, frames)
        return summed([one, other and other.times(-1)])

    def __repr__(self) -> str:
        return f"{named(self._ones)} less {named(self._others)}, {self._response_reducer!r}"
