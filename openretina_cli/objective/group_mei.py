"""`objective=group_mei`: the stimulus that several neurons respond to most, together."""

from __future__ import annotations

from openretina_cli.objective.cells import ChosenNeurons


class GroupMostExcitingInput(ChosenNeurons):
    """The joint most exciting input of several neurons, or of a cell type; see `ChosenNeurons`."""

    of_one_cell = False
    joint = True
