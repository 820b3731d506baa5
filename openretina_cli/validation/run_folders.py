"""Finished runs of the simulated twin, read back from their folders as data.

No class that a folder names is imported. The settings are those that `result.json` states: plain values, in which
nothing is left to resolve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from openretina_cli.config.paths import PATHS
from openretina_cli.config.settings import Settings, settings_of_values
from openretina_cli.config.stated import check_stated
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.member_files import member_files
from openretina_cli.run.finished import finite, read_completed
from openretina_cli.run.problem import Plan, plan_run
from openretina_cli.simulation.build import SHIPPED
from openretina_cli.simulation.retina import SimulatedRetina
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.digest import sha256_of
from openretina_cli.store.finder import find_finished
from openretina_cli.store.identity import Files
from openretina_cli.store.names import STIMULUS
from openretina_cli.store.result import Result
from openretina_cli.store.stimulus_file import read_stimulus_file
from openretina_cli.store.values import below, mapping, number
from openretina_cli.validation.bench import Candidate

LIMITS = {"max_iterations": 20_000, "frames": 300, "kernel_size": 1_001}
"""Largest values of the settings by which time and memory of a validation grow; 300 frames of 500 clips take 350 MB."""

MOST_FILES = 20
"""Files that the settings of a run may name, each of which is read whole."""


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


@contextmanager
def _settings_of(folder: Path) -> Iterator[None]:
    """Name the folder in whatever its settings raise: OmegaConf and constructors raise many kinds for unfit values.

    Raises:
        SettingError: the settings cannot be used.
    """
    try:
        yield
    except OpenRetinaError as error:
        raise SettingError(f"{folder}: {error.problem}", expected=error.expected) from error
    except Exception as error:
        raise SettingError(f"{folder} has settings that cannot be used: {type(error).__name__}") from error


def read_settings_of(result: Result) -> Settings:
    """The settings that a result states.

    Raises:
        SettingError: they are missing or wrong, or name a class of the user's.
    """
    folder = result.path.parent
    if "settings" in result.flaws:
        raise SettingError(f"{result.path} has no settings", expected="a run of this version")
    check_stated(result.settings, folder)
    with _settings_of(folder):
        # the run's place and outputs do not matter here, and may hold the time or Hydra's own settings
        settings = settings_of_values({**result.settings, "out": "out", "output": {}})
    rules = (*settings.constraint.values(), *settings.gradient.values())
    for option in (settings.stopper, settings.stimulus, *rules):
        for name, limit in LIMITS.items():
            if (option.arguments.get(name) or 0) > limit:
                raise SettingError(
                    f"{folder} was made with {name}={option.arguments[name]}", expected=f"at most {limit}"
                )
    _check_files(result)
    return settings


def _check_files(result: Result) -> None:
    """Refuse a run whose files are not what they were, as it would be planned with something else.

    Raises:
        SettingError: a file is gone or has changed, or the run states no digest of it.
    """
    folder, stated = result.path.parent, {name: below(result.settings, name) for name in PATHS}
    recorded = mapping(below(result.tree, "identity.files")) or {}
    named = {name for name, value in stated.items() if value is not None and not name.startswith(("out", "model."))}
    if len(recorded) > MOST_FILES:
        raise SettingError(f"{folder} names {len(recorded)} files", expected=f"at most {MOST_FILES}")
    now = Files().identity(result.settings).files
    for name in sorted(named.union(recorded)):
        if name not in recorded or recorded[name] != now.get(name):
            problem = "is not there" if name not in now else "has changed since" if name in recorded else "was not read"
            raise SettingError(
                f"{folder} was made with {name}={below(result.settings, name)!s:.200}, which {problem}",
                expected="the file with which the run was made",
            )


def _planned(settings: Settings, truth: SimulatedRetina, device: torch.device, folder: Path) -> Plan:
    """The problem of a run, planned on the truth.

    Raises:
        SettingError: the settings do not fit the truth.
    """
    start = settings.stimulus.arguments.get("file")
    stimulus = settings.stimulus if start is None else settings.stimulus.with_arguments(file=None)
    with _settings_of(folder):
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
