"""`objective=group_mei`: the stimulus that several neurons respond to most, together."""

from __future__ import annotations

from typing import Any

from openretina_cli.checks import require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import Model
from openretina_cli.objective.cells import ChosenNeurons
from openretina_cli.reducer import ResponseReducer


class GroupMostExcitingInput(ChosenNeurons):
    """The joint most exciting input of several neurons, or of a cell type; see `ChosenNeurons`.

    Raises:
        SettingError: one neuron is chosen.
    """

    of_one_cell = False

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
    ) -> None:
        expected = "several neurons, such as neuron=[1,5,9], or a cell type, such as group=28"
        require(group is not None or not isinstance(neuron, int), "neuron", neuron, expected)
        super().__init__(model, data_key, response_reducer, facts, neuron, group)
