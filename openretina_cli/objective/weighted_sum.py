"""`objective=weighted_sum`: a weighted sum of objectives."""

from __future__ import annotations

from typing import Annotated, Any

from openretina_cli.checks import require
from openretina_cli.objective.base import AbstractObjective, WeightedSumObjective


class WeightedSum(WeightedSumObjective):
    """A weighted sum of named objectives.

    Args:
        terms: objectives by name.
        weights: a weight for each of them.

    Raises:
        SettingError: there is no term, a term is no objective, or the names of terms and weights differ.
    """

    def __init__(
        self,
        terms: Annotated[dict[str, Any], "{up:{_target_:openretina_cli.objective.mei.MostExcitingInput,neuron:3}}"],
        weights: Annotated[dict[str, float], "{up:1}"],
    ) -> None:
        require(bool(terms), "terms", "{}", "one or more objectives")
        for name, term in terms.items():
            require(isinstance(term, AbstractObjective), f"terms.{name}", term, "an objective, with its _target_")
            require(name in weights, f"weights.{name}", None, "a number")
        for name in weights:
            require(name in terms, f"weights.{name}", weights[name], "the name of a term, one of " + ", ".join(terms))
        super().__init__([(weights[name], term) for name, term in terms.items()])
