"""`objective=rescale`: another objective, with the response of every neuron brought to a common scale."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.tensor_file import read_tensor
from openretina_cli.objective.base import OuterObjective, Term, Weights
from openretina_cli.objective.stack import Scorer, Stack

EXPECTED = "a number, a number per neuron of the session, or a .npy or .pt file of them"


def _per_neuron(name: str, value: Any, count: int) -> Tensor:
    """One number per neuron of the session, or one for all.

    Raises:
        SettingError: the value is something else.
    """
    if isinstance(value, str):
        found = read_tensor(name, value).flatten()
    else:
        numbers = value if isinstance(value, (list, tuple)) else [value]
        plain = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
        require(plain, name, value, EXPECTED)
        found = torch.tensor([float(number) for number in numbers])
    fits = len(found) in (1, count) and bool(found.isfinite().all())
    require(fits, name, f"{len(found)} numbers", f"1 or {count} finite numbers, as the session has {count} neurons")
    return found.expand(count)


class Rescale(OuterObjective):
    """An objective of responses from which every neuron's own number is subtracted, and which are divided by another.

    Neurons of other gains count alike then, as in most discriminative stimuli, where means and standard deviations of
    each neuron's response to natural movies are used (Burg et al. 2024, openreview.net/forum?id=9W6KaAcYlr).

    Args:
        data_key: the session.
        facts: what is known about the model.
        of: the objective; one that scores responses.
        subtract: in units of the response: a number, one per neuron of the session, or a `.npy` or `.pt` file of them.
        divide: likewise.

    Raises:
        SettingError: a value is no such number, a divisor is not positive, or `of` scores no responses.
    """

    def __init__(
        self,
        data_key: str,
        facts: ModelFacts,
        of: Annotated[Any, "{_target_:openretina_cli.objective.mei.MostExcitingInput,neuron:3}"],
        subtract: Any = 0.0,
        divide: Any = 1.0,
    ) -> None:
        super().__init__(of)
        if not of.scores_responses:
            raise SettingError(f"of={type(of).__name__} scores no responses", expected="an objective such as mei")
        count = facts.sessions[data_key]
        self._subtract, self._divide = _per_neuron("subtract", subtract, count), _per_neuron("divide", divide, count)
        require(bool((self._divide > 0).all()), "divide", float(self._divide.min()), "numbers above 0")

    def _rescaled(self, response: Tensor) -> Tensor:
        return (response - self._subtract.to(response)) / self._divide.to(response)

    def score(self, response: Tensor) -> Tensor:
        """Score the rescaled response."""
        return self._of.score(self._rescaled(response))

    def grouping(self) -> Hashable:
        """Runs are rescaled together."""
        return Rescale

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Rescale the responses of all runs at once, and score them by the inner objectives."""
        stack = Stack([objective._of for objective in objectives], responses)
        subtract, divide = (
            torch.stack([getattr(one, name) for one in objectives])[:, None].to(responses)
            for name in ("_subtract", "_divide")
        )
        return lambda responses: stack((responses - subtract) / divide)

    def weights(self, frames: int) -> Weights | None:
        """The inner objective's weights over the divisors, with what is subtracted in the constant."""
        inner = self._of.stated_weights(frames)
        if inner is None:
            return None
        terms: list[Term] = []
        constant = inner.constant
        for term in inner.terms:
            weight = term.weight / float(self._divide[term.neuron])
            terms.append(term._replace(weight=weight))
            constant -= weight * float(self._subtract[term.neuron])
        return Weights(tuple(terms), constant)

    def __repr__(self) -> str:
        return f"{self._of!r}, each neuron rescaled"
