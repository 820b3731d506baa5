"""`objective=mei`: the stimulus that neurons respond to most."""

from __future__ import annotations

from openretina_cli.objective.base import MeanResponseObjective
from openretina_cli.objective.cells import ChosenNeurons


class IncreaseObjective(MeanResponseObjective):
    """The mean response of one or several neurons: its optimum is their most exciting input (MEI)."""


class MostExcitingInput(ChosenNeurons, IncreaseObjective):
    """The most exciting input of the neurons that the settings choose."""
