"""Sweeps whose runs are made by one of Hydra's own launchers or sweepers."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from openretina_cli.config.compose import compose, hand_to_hydra
from openretina_cli.config.expand import spelled_out
from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.overrides import Override, quoted, read_overrides
from openretina_cli.config.settings import Composed
from openretina_cli.errors import SettingError
from openretina_cli.report import write_report
from openretina_cli.run.launcher import own_launcher
from openretina_cli.run.plan import several_directories
from openretina_cli.run.single import sweep_job
from openretina_cli.run.sweep import SweepRun
from openretina_cli.store.identity import shapes_numbers
from openretina_cli.store.names import RESULT
from openretina_cli.terminal.console import make_console
from openretina_cli.terminal.sweep import SweepConsole


def _frames(override: Override) -> bool:
    """Whether an override may have a say in how a sweep is made, and where."""
    plain = not override.is_sweep_override()
    return override.is_hydra_override() or (plain and override.key_or_group in ("experiment", "out"))


def sweep(args: argparse.Namespace, parser: argparse.ArgumentParser, overrides: Sequence[Override]) -> None:
    """Make a sweep, or let Hydra make it where the launcher or sweeper is one of Hydra's own.

    Args:
        args: the parsed command line; its overrides are changed.
        parser: the parser that read it.
        overrides: of the sweep, as parsed.

    Raises:
        OpenRetinaError: a mistake, or a run failed.
    """
    frame = sweep_frame(args, overrides)
    console = SweepConsole(make_console())
    run = own_sweep(args, overrides, frame, console)
    if run is None:
        _by_hydra(args, parser, overrides, frame, console)
        return
    with console.live():
        run.run()


def own_sweep(
    args: argparse.Namespace,
    overrides: Sequence[Override],
    frame: Composed,
    console: SweepConsole,
    given: Given = NOTHING,
) -> SweepRun | None:
    """The sweep that overrides ask for; None where Hydra makes it, by a launcher or sweeper of its own.

    Args:
        args: the parsed command line.
        overrides: of the sweep, as parsed.
        frame: composed of those that say how the sweep is made, see `sweep_frame`.
        console: what a person sees of it.
        given: objects in memory that take the place of options.
    """
    if own_launcher(frame) is None or frame.hydra.runtime.choices["hydra/sweeper"] != "basic":
        return None
    params = [f"{key}={value}" for key, value in (frame.hydra.sweeper.params or {}).items()]
    return SweepRun([*read_overrides(params, sweeps=True), *overrides], partial(compose, args), console, given)


def sweep_frame(args: argparse.Namespace, overrides: Sequence[Override]) -> Composed:
    """The composed settings that say how a sweep is made, and where."""
    return compose(args, [str(override.input_line) for override in overrides if _frames(override)])


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


def _by_hydra(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    overrides: Sequence[Override],
    frame: Composed,
    console: SweepConsole,
) -> None:
    _check_one_folder(overrides)
    args.overrides = spelled_out(overrides, SweepRun(overrides, partial(compose, args), console).cells)
    args.overrides += [*_launcher_override(frame), _unnamed_settings(frame, overrides)]
    directory = Path(str(frame.hydra.sweep.dir)).absolute()
    args.overrides.append(quoted(f"hydra.sweep.dir={directory}"))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's; it logs how its database is set up
    try:
        hand_to_hydra(args, parser, sweep_job)
    finally:
        if any(directory.glob(f"**/{RESULT}")):
            console.closed(write_report(directory, console.reported))
