"""A sweep whose runs are made by one of Hydra's own launchers or sweepers."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from openretina_cli.config.compose import compose_sweep
from openretina_cli.config.composed import Composed, text_at
from openretina_cli.config.expand import spelled_out
from openretina_cli.config.hydra_app import hand_to_hydra
from openretina_cli.config.overrides import Override, quoted
from openretina_cli.errors import SettingError
from openretina_cli.report import write_report
from openretina_cli.store.identity import shapes_numbers
from openretina_cli.store.names import RESULT
from openretina_cli.sweep.launcher import own_launcher
from openretina_cli.sweep.plan import several_directories
from openretina_cli.sweep.run import Console, SweepRun


def _check_one_folder(overrides: Sequence[Override]) -> None:
    """Refuse a sweep's folder that refers to a setting which differs from run to run.

    Raises:
        SettingError: it does.
    """
    folder = next((str(override.value()) for override in overrides if override.key_or_group == "out"), "")
    swept = [override.key_or_group for override in overrides if override.is_sweep_override()]
    if any(f"${{{key}}}" in folder for key in swept):
        raise several_directories(folder)


def _launcher_override(frame: Composed) -> list[str]:
    """The override that names Hydra's basic launcher in the place of the default, which Hydra's sweepers do not know.

    Raises:
        SettingError: the launcher is one of this project's own, and not the default.
    """
    launcher = own_launcher(frame)
    if launcher not in (None, "batched"):
        raise SettingError(
            f"hydra/launcher={launcher} works with Hydra's basic sweeper only",
            repair="hydra/launcher=submitit_slurm, or no hydra/sweeper",
        )
    return ["hydra/launcher=basic"] if launcher else []


def _unnamed_settings(frame: Composed, overrides: Sequence[Override]) -> str:
    """The override that keeps settings which shape no number out of the names of folders."""
    key = "hydra.job.config.override_dirname.exclude_keys"
    unshaping = [override.key_or_group for override in overrides if not shapes_numbers(override.key_or_group)]
    return f"{key}=[{','.join([*frame.hydra.job.config.override_dirname.exclude_keys, *unshaping])}]"


def sweep_by_hydra(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    overrides: Sequence[Override],
    frame: Composed,
    console: Console,
    job: Callable[[Composed], object],
) -> None:
    """Let a launcher or sweeper of Hydra's make a sweep, and report on it.

    Args:
        args: the parsed command line; its overrides are changed.
        parser: the parser that read it.
        overrides: of the sweep, as parsed.
        frame: settings composed from the overrides that say how the sweep is made.
        console: what a person sees of the sweep.
        job: makes one run of composed settings.

    Raises:
        OpenRetinaError: a mistake, or a run failed.
    """
    _check_one_folder(overrides)
    args.overrides = spelled_out(overrides, SweepRun(overrides, partial(compose_sweep, args), console).cells)
    args.overrides += [*_launcher_override(frame), _unnamed_settings(frame, overrides)]
    directory = Path(text_at(frame, "hydra.sweep.dir")).absolute()
    args.overrides.append(quoted(f"hydra.sweep.dir={directory}"))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's; it logs how its database is set up
    try:
        hand_to_hydra(args, parser, job)
    finally:
        if any(directory.glob(f"**/{RESULT}")):
            console.closed(write_report(directory, console.reported))
