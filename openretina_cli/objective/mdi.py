"""`objective=mdi`: the stimulus that silences neurons most."""

from __future__ import annotations

from openretina_cli.objective.base import MeanResponseObjective
from openretina_cli.objective.cells import ChosenNeurons


class DecreaseObjective(MeanResponseObjective):
    """Minus the mean response: its optimum is the neurons' most depressing input (MDI)."""

    sign = -1


class MostDepressingInput(ChosenNeurons, DecreaseObjective):
    """The most depressing input of the neurons that the settings choose."""
