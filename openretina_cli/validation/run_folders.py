"""Finished runs of the simulated twin, found in folders and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from openretina_cli.artifacts.folder import RESULT, STIMULUS, RunFolder
from openretina_cli.build.problem import plan_run
from openretina_cli.config.settings import Settings, read_settings
from openretina_cli.errors import SettingError
from openretina_cli.models.directory import member_files
from openretina_cli.models.safe_files import sha256_of
from openretina_cli.optimization.start import read_stimulus
from openretina_cli.simulation.build import SHIPPED
from openretina_cli.validation.bench import Candidate
from openretina_cli.validation.truth import Truth

CONFIG = Path(".hydra") / "config.yaml"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, and what its `result.json` says."""

    folder: Path
    result: Mapping[str, Any]

    def of_simulation(self, sha256: str) -> bool:
        """Whether its model was the bundled twin, whole (known by its digest) or some of its members (by its place)."""
        model = self.result.get("model") or {}
        place = f"{SHIPPED.parent.name}/{SHIPPED.name}"
        return model.get("sha256") == sha256 or model.get("source") in (place, str(SHIPPED))


def find_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """The finished runs in folders, at any depth, each once and in the order of their paths.

    Raises:
        SettingError: a folder is not there.
    """
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"{folder} is no folder", expected="folders of runs, or KEY=VALUE")
    paths = sorted({path.parent.resolve() for folder in folders for path in folder.rglob(RESULT)})
    results = [(path, RunFolder(path).result) for path in paths]
    return [FinishedRun(path, result) for path, result in results if result and (path / STIMULUS).is_file()]


def of_simulation(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Those of the runs that were made with the bundled twin.

    Raises:
        SettingError: none was.
    """
    sha256 = sha256_of([path for files in member_files(SHIPPED) for path in files.all])
    chosen = [run for run in runs if run.of_simulation(sha256)]
    if not chosen:
        found = f"none of the {len(runs)} finished runs there was" if runs else "no finished run there was"
        raise SettingError(f"{found} made with the simulated twin", repair="openretina optimize model=simulated_retina")
    return chosen


def read_settings_of(run: FinishedRun) -> Settings:
    """The settings of a run.

    Raises:
        SettingError: they are not there, or are none.
    """
    path = run.folder / CONFIG
    try:
        # where it went may have been made of the time, or of Hydra's own settings, which are not known any more
        config = OmegaConf.merge(OmegaConf.load(path), {"out": str(run.folder)})
        return read_settings(cast(DictConfig, config))
    except (OSError, TypeError, ValueError, OmegaConfBaseException) as error:
        raise SettingError(f"{path} cannot be read: {type(error).__name__}") from error


def read_candidate(run: FinishedRun, truth: Truth, device: torch.device) -> Candidate:
    """A run's stimulus and its problem, planned on the truth, which has the twin's sessions and cells.

    Raises:
        SettingError: a file of it is missing or broken, or it was made with centred readouts.
    """
    settings = read_settings_of(run)
    check_places(settings, str(run.folder))
    plan = plan_run(settings, truth, device)
    channels, frames, height, width = plan.problem.stimulus.shape
    stimulus = read_stimulus(run.folder / STIMULUS, (channels, frames, height, width)).to(device)
    predicted = float((run.result.get("objective") or {}).get("final", "nan"))
    return Candidate(plan, stimulus, predicted, str(run.folder))


def check_places(settings: Settings, what: str = "the twin") -> None:
    """Refuse centred readouts.

    Raises:
        SettingError: the twin's neurons were moved to the middle of the field; those of the truth are where they are.
    """
    if getattr(settings.model, "center_readouts", False):
        raise SettingError(
            f"{what} has its readouts centred, and the simulated retina has not", repair="model.center_readouts=false"
        )
