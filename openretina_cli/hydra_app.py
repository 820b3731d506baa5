"""The verb `optimize`: a single run, a sweep, or whatever else Hydra's flags ask for."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra._internal import hydra as hydra_internals
from hydra._internal import utils as hydra_utils
from hydra.core.override_parser.types import Override, Quote, QuotedString, Transformer
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from openretina_cli.composer import CONFIG_NAME, compose, is_sweep, read_arguments
from openretina_cli.config.location import config_directory
from openretina_cli.errors import SettingError
from openretina_cli.overrides import read_overrides
from openretina_cli.single_run import run_single, sweep_job
from openretina_cli.store.names import RESULT
from openretina_cli.terminal.console import make_console


def _hand_to_hydra(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Let Hydra do what its flags say; its errors come back as exceptions."""
    names = ("run_and_report",)
    before = [(module, name, getattr(module, name)) for module in (hydra_utils, hydra_internals) for name in names]
    try:
        for module, name, _ in before:
            setattr(module, name, lambda function: function())
        hydra_utils._run_hydra(
            args=args,
            args_parser=parser,
            task_function=sweep_job,
            config_path=str(config_directory()),
            config_name=CONFIG_NAME,
        )
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _frames(override: Override) -> bool:
    """Whether an override may have a say in how a sweep is made, and where."""
    plain = not override.is_sweep_override()
    return override.is_hydra_override() or (plain and override.key_or_group in ("experiment", "out"))


def _check_one_folder(overrides: Sequence[Override]) -> None:
    """Refuse a sweep's folder that refers to a setting which differs from run to run.

    Raises:
        SettingError: it does.
    """
    from openretina_cli.sweep.plan import several_directories

    folder = next((str(override.value()) for override in overrides if override.key_or_group == "out"), "")
    swept = [override.key_or_group for override in overrides if override.is_sweep_override()]
    if any(f"${{{key}}}" in folder for key in swept):
        raise several_directories(folder)


def _sweep_by_hydra(
    args: argparse.Namespace, parser: argparse.ArgumentParser, overrides: Sequence[Override], frame: DictConfig
) -> None:
    """Let a launcher or sweeper of Hydra's make a sweep, and report on it."""
    from openretina_cli.report import write_report  # a single run does not wait for what makes sweeps
    from openretina_cli.sweep.expand import spelled_out
    from openretina_cli.sweep.launcher import own_launcher
    from openretina_cli.sweep.run import SweepRun
    from openretina_cli.terminal.sweep import SweepConsole

    _check_one_folder(overrides)
    console = SweepConsole(make_console())
    composed = partial(compose, args, run_mode=RunMode.MULTIRUN)
    args.overrides = spelled_out(overrides, SweepRun(overrides, composed, console).cells)
    launcher = own_launcher(frame)
    if launcher == "batched":  # the default, which Hydra's sweepers do not know
        args.overrides.append("hydra/launcher=basic")
    elif launcher is not None:
        raise SettingError(
            f"hydra/launcher={launcher} works with Hydra's basic sweeper only",
            repair="hydra/launcher=submitit_slurm, or no hydra/sweeper",
        )
    directory = Path(str(OmegaConf.select(frame, "hydra.sweep.dir"))).absolute()
    args.overrides.append(f"hydra.sweep.dir={Transformer.str(QuotedString(str(directory), Quote.single))}")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # of Optuna's, which tells how it sets itself up
    try:
        _hand_to_hydra(args, parser)
    finally:
        if any(directory.glob(f"**/{RESULT}")):
            console.closed(write_report(directory, console.reported))


def _sweep(args: argparse.Namespace, parser: argparse.ArgumentParser, overrides: Sequence[Override]) -> None:
    """Make a sweep ourselves, or let Hydra make it where a launcher or sweeper that is not ours was chosen."""
    from openretina_cli.sweep.run import SweepRun, is_ours  # a single run does not wait for what makes sweeps
    from openretina_cli.terminal.sweep import SweepConsole

    composed = partial(compose, args, run_mode=RunMode.MULTIRUN)
    frame = composed([str(override.input_line) for override in overrides if _frames(override)])
    if not is_ours(frame):
        _sweep_by_hydra(args, parser, overrides, frame)
        return
    params = [f"{key}={value}" for key, value in (frame.hydra.sweeper.params or {}).items()]
    console = SweepConsole(make_console())
    with console.live():
        SweepRun([*read_overrides(params, sweeps=True), *overrides], composed, console).run()


def optimize(argv: Sequence[str]) -> None:
    """Run `openretina optimize` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or a run that failed.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    args, parser = read_arguments(argv)
    sweeps = is_sweep(args)
    overrides = [] if args.shell_completion else read_overrides(args.overrides, sweeps)
    if any((args.cfg, args.info, args.hydra_help, args.shell_completion, args.resolve, args.experimental_rerun)):
        _hand_to_hydra(args, parser)
    elif sweeps:
        _sweep(args, parser, overrides)
    else:
        run_single(compose(args, args.overrides))
