"""The settings of a finished run, read back from its record as data, and the problem that it solved, planned again.

No class that a folder names is imported. The settings are those that `result.json` states: plain values, in which
nothing is left to resolve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from openretina_cli.config.paths import PATHS
from openretina_cli.config.settings import Settings, settings_of_values
from openretina_cli.config.stated import check_stated
from openretina_cli.errors import OpenRetinaError, SettingError
from openretina_cli.models.retina import Retina
from openretina_cli.run.problem import Plan, plan_run
from openretina_cli.store.identity import Files
from openretina_cli.store.result import Result
from openretina_cli.store.values import below, mapping

LIMITS = {"max_iterations": 20_000, "frames": 300, "kernel_size": 1_001}
"""Largest values of the settings by which time and memory of a validation grow; 300 frames of 500 clips take 350 MB."""

MOST_FILES = 20
"""Files that the settings of a run may name, each of which is read whole."""


@contextmanager
def settings_of(folder: Path) -> Iterator[None]:
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


def read_settings_of(result: Result, model: Mapping[str, object] | None = None) -> Settings:
    """The settings that a result states.

    Args:
        result: the record of a run.
        model: settings of a model of the package's in place of those that are stated, where the user typed one.

    Raises:
        SettingError: they are missing or wrong, or name a class of the user's.
    """
    folder = result.path.parent
    if "settings" in result.flaws:
        raise SettingError(f"{result.path} has no settings", expected="a run of this version")
    values = {**result.settings, **({} if model is None else {"model": model})}
    check_stated(values, folder)
    with settings_of(folder):
        # the run's place and outputs do not matter here, and may hold the time or Hydra's own settings
        settings = settings_of_values({**values, "out": "out", "output": {}})
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


def plan_again(settings: Settings, retina: Retina, device: torch.device, folder: Path) -> Plan:
    """The problem of a run on a model, without the file that it may have started from.

    Raises:
        SettingError: the settings do not fit the model.
    """
    stimulus = settings.stimulus
    if stimulus.arguments.get("file") is not None:
        stimulus = stimulus.with_arguments(file=None)
    with settings_of(folder):
        return plan_run(replace(settings, stimulus=stimulus), retina, device)
