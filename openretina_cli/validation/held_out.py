"""Rescoring on members of an ensemble that took no part: optimised on all but one, scored on that one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openretina_cli.errors import SettingError
from openretina_cli.filters import SPACE, share_above
from openretina_cli.models.retina import Ensemble, Retina
from openretina_cli.run.problem import Plan
from openretina_cli.validation.cells import optimize_cells
from openretina_cli.validation.stacks import Report, measure, moved_onto, silent

FINE = 0.25
"""Cycles per pixel, half of what pixels can show; above lies the chequerboard that one network likes and no cell."""


@dataclass(frozen=True)
class Rescored:
    """Objectives of one neuron's stimuli on the members that were held out.

    Attributes:
        session: the session.
        neuron: the neuron.
        own: per held-out member, the objective on the members that the stimulus was optimised on.
        held_out: the same stimuli's objective on the member held out.
        fine: the share of their power above `FINE`.
    """

    session: str
    neuron: int
    own: tuple[float, ...]
    held_out: tuple[float, ...]
    fine: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Mean of held-out over own."""
        ratios = [held / own for held, own in zip(self.held_out, self.own, strict=True)]
        return sum(ratios) / len(ratios)


def _ensemble(retina: Retina) -> Ensemble:
    """The model, if members of it can be held out.

    Raises:
        SettingError: no members of the model are known, or one only.
    """
    ensemble = retina.apart()
    if ensemble is None or len(ensemble.members) < 2:
        raise SettingError(
            f"{retina.facts.name} has no member to hold out",
            expected="an ensemble of two or more members, model.weights=[FILE,FILE], or a module with members",
        )
    return ensemble


def _rescore(plans: Sequence[Plan], alone: Retina, report: Report, stage: str) -> list[tuple[float, float, float]]:
    """Each plan's objective on its own model and on another, and `Rescored.fine`, for the stimulus that it finds."""
    found = optimize_cells(plans, report, stage)
    stimuli = [candidate.stimulus for candidate in found]
    scores = measure(moved_onto(plans, alone), stimuli)
    fine = [share_above(stimulus[None].cpu(), FINE, SPACE) for stimulus in stimuli]
    return list(zip([candidate.predicted for candidate in found], scores, fine, strict=True))


def rescore_held_out(
    retina: Retina, plan: Callable[[Retina], Sequence[Plan]], report: Report = silent
) -> list[Rescored]:
    """Optimise on all members but one, score on that one, for each member in turn.

    Args:
        retina: the ensemble, or a module whose members are known.
        plan: makes the plans, one neuron each, on a part of the ensemble.
        report: called with the progress.

    Returns:
        A row per neuron, in the order of the plans.

    Raises:
        SettingError: the model is no ensemble of several members.
    """
    ensemble = _ensemble(retina)
    members = list(ensemble.members)
    folds, plans = [], []
    for index, member in enumerate(members):
        others = ensemble.of(members[:index] + members[index + 1 :])
        plans = list(plan(others))
        stage = f"optimising without member {index} of {len(members)}"
        folds.append(_rescore(plans, ensemble.of([member]), report, stage))
    return [
        Rescored(made.session, made.neurons[0], *(tuple(side) for side in zip(*rows, strict=True)))
        for made, rows in zip(plans, zip(*folds, strict=True), strict=True)
    ]
