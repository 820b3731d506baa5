"""Every cell of a model, each with a problem of its own, from the settings of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from openretina_cli.config.class_import import find_class
from openretina_cli.config.settings import Settings
from openretina_cli.config.target import TARGET, Option
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.objective.cells import choose_neurons, choose_session, neurons_of_type
from openretina_cli.run.problem import Plan, accelerate, build_objective, build_reducer, prepared, started
from openretina_cli.run.restarts import best_of, problems_of
from openretina_cli.validation.bench import Candidate
from openretina_cli.validation.stacks import Report, solve_all


def about_one_cell(settings: Settings) -> Option:
    """The settings' objective, if it can be built for every cell.

    Raises:
        SettingError: it is not about one cell.
    """
    objective = settings.objective
    if not find_class(objective.target, AbstractObjective, f"objective.{TARGET}").of_one_cell:
        raise SettingError(
            f"objective={objective.name} is not about one cell, and validate makes a stimulus for each",
            expected="objective=mei or objective=mdi; or the folders of finished runs",
        )
    return objective


def _plans_of_session(
    settings: Settings, retina: Retina, session: str, cells: Sequence[int], device: torch.device
) -> Iterator[Plan]:
    alone = [about_one_cell(settings).with_arguments(neuron=cell, group=None) for cell in cells]
    # the first cell is planned, and the model tried, in full; the others differ from it in their objective only
    first, candidates = prepared(replace(settings, session=session, objective=alone[0]), retina, device)
    reducer = build_reducer(settings)
    for cell, option in zip(cells, alone, strict=True):
        problem = replace(first.problem, objective=build_objective(option, retina, session, reducer, settings.seed))
        own = replace(first, settings=replace(first.settings, objective=option), problem=problem, neurons=(cell,))
        yield started(own, candidates)


def _cells_of(settings: Settings, facts: ModelFacts, session: str, chosen: bool) -> list[int]:
    """The neurons to optimise for, each alone."""
    group = about_one_cell(settings).arguments.get("group")
    if group is not None:
        return neurons_of_type(facts, session, group, "group")
    return choose_neurons(facts, session, settings.neuron if chosen else "all", "neuron")


def plan_cells(
    settings: Settings, retina: Retina, sessions: Sequence[str], device: torch.device, chosen: bool
) -> list[Plan]:
    """A plan for each cell.

    Args:
        settings: settings of one run; its objective is built for every cell.
        retina: the model, on `device`.
        sessions: the sessions, unless the settings name one.
        device: where to compute.
        chosen: whether the settings' neurons are used, each alone, instead of all of a session.

    Raises:
        SettingError: a setting does not fit the model.
    """
    plans: list[Plan] = []
    for session in sessions if settings.session is None else [choose_session(retina.facts, settings.session)]:
        cells = _cells_of(settings, retina.facts, session, chosen)
        plans += _plans_of_session(settings, retina, session, cells, device)
    return plans


def optimize_cells(plans: Sequence[Plan], report: Report, stage: str = "optimising on the twin") -> list[Candidate]:
    """Solve the plans on the fast form of their model."""
    outcomes = best_of(plans, solve_all(problems_of(accelerate(plans)), stage, report))
    return [Candidate(plan, found.stimulus, found.objective) for plan, found in zip(plans, outcomes, strict=True)]
