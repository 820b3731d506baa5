"""Finished runs of the simulated twin, read back from their folders as data.

No class that a folder names is imported. The settings are those that `result.json` states: plain values, in which
nothing is left to resolve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from openretina_cli.config.settings import Settings
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.member_files import member_files
from openretina_cli.run.finished import finite, read_completed
from openretina_cli.run.problem import Plan, plan_run
from openretina_cli.run.stated import read_settings_of, settings_of
from openretina_cli.simulation.build import SHIPPED
from openretina_cli.simulation.retina import SimulatedRetina
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.digest import sha256_of
from openretina_cli.store.finder import find_finished
from openretina_cli.store.names import STIMULUS
from openretina_cli.store.result import Result
from openretina_cli.store.stimulus_file import read_stimulus_file
from openretina_cli.store.values import below, number
from openretina_cli.validation.bench import Candidate


def read_results(folders: Sequence[Path]) -> tuple[list[Result], list[OpenRetinaError]]:
    """The records of the finished runs in folders, and an error for each that cannot be read.

    Raises:
        SettingError: a folder is not there, or holds no finished run.
    """
    results: list[Result] = []
    errors: list[OpenRetinaError] = []
    for folder in find_finished(folders):
        try:
            results.append(read_completed(folder))
        except ArtifactError as error:
            errors.append(error)
    return results, errors


def of_simulation(results: Sequence[Result]) -> list[Result]:
    """Selects the runs that were made with the bundled twin, whole (known by its digest) or in part (by its place).

    Raises:
        SettingError: none was.
    """
    sha256 = sha256_of([path for files in member_files(SHIPPED) for path in files])
    places = (f"{SHIPPED.parent.name}/{SHIPPED.name}", str(SHIPPED))
    chosen = [result for result in results if result.sha256 == sha256 or result.source in places]
    if not chosen:
        raise SettingError(
            f"none of the {len(results)} finished runs there was made with the simulated twin",
            repair="openretina optimize model=simulated_retina",
        )
    return chosen


def _planned(settings: Settings, truth: SimulatedRetina, device: torch.device, folder: Path) -> Plan:
    """The problem of a run, planned on the truth.

    Raises:
        SettingError: the settings do not fit the truth.
    """
    start = settings.stimulus.arguments.get("file")
    stimulus = settings.stimulus if start is None else settings.stimulus.with_arguments(file=None)
    with settings_of(folder):
        plan = plan_run(replace(settings, stimulus=stimulus), truth, device)
    if start is None:
        return plan
    found = torch.from_numpy(finite(start, read_stimulus_file(Path(start).expanduser()))).to(device)
    _check_shape(found, plan, start)
    return replace(plan, problem=replace(plan.problem, stimulus=found))


def _check_shape(stimulus: torch.Tensor, plan: Plan, what: object) -> None:
    expected = tuple(plan.problem.stimulus.shape)
    if tuple(stimulus.shape) != expected:
        raise SettingError(f"{what} holds shape {tuple(stimulus.shape)}", expected=str(expected))


def read_candidate(result: Result, truth: Callable[[], SimulatedRetina], device: torch.device) -> Candidate:
    """A run's stimulus and its problem, planned on the truth, which has the twin's sessions and cells.

    Args:
        result: the record of the run.
        truth: makes the truth, once the files of the run are known to be sound.
        device: where to compute.

    Raises:
        OpenRetinaError: a file of it is missing or broken, it was made with centred readouts or by a class of the
            user's.
    """
    folder = result.path.parent
    settings = read_settings_of(result)
    check_places(settings, str(folder))
    stimulus = torch.from_numpy(finite(folder, read_stimulus(folder))).to(device)
    plan = _planned(settings, truth(), device, folder)
    _check_shape(stimulus, plan, folder / STIMULUS)
    objective = plan.problem.objective
    predicted = result.final if objective.of_one is objective else _most_active(result)
    return Candidate(_of_one(plan), stimulus, predicted, str(folder))


def _of_one(plan: Plan) -> Plan:
    """The plan of a run whose stimulus is judged alone; that of a set is its most active member."""
    return replace(plan, problem=replace(plan.problem, objective=plan.problem.objective.of_one), starts=())


def _most_active(result: Result) -> float:
    """The inner objective of the member of a set that is the run's stimulus; NaN where the result does not state it."""
    members = below(result.tree, "set.members")
    rows = [row for row in members if isinstance(row, Mapping)] if isinstance(members, list) else []
    return max((found for row in rows if (found := number(row.get("activation"))) is not None), default=math.nan)


def check_places(settings: Settings, what: str = "the twin") -> None:
    """Refuse centred readouts.

    Raises:
        SettingError: the twin's neurons were moved to the middle of the field; those of the truth are where they are.
    """
    if settings.model.arguments.get("center_readouts", False):
        raise SettingError(
            f"{what} has its readouts centred, and the simulated retina has not", repair="model.center_readouts=false"
        )


def check_twin(facts: ModelFacts, truth: SimulatedRetina) -> None:
    """Refuse a model that is no twin of the simulated retina.

    Raises:
        SettingError: its sessions or its cells' types are not those of the simulation.
    """
    same = dict(facts.sessions) == dict(truth.facts.sessions) and dict(facts.groups) == dict(truth.facts.groups)
    if not same:
        raise SettingError(
            f"{facts.name} is no twin of the simulated retina, so there is no truth to compare it with",
            repair="openretina validate --held-out, which works for every ensemble",
        )
