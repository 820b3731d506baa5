"""Hydra's own command line: its flags, and the launchers and sweepers that are not of this project."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from hydra._internal import hydra as hydra_internals
from hydra._internal import utils as hydra_utils

from openretina_cli.config.compose import CONFIG_NAME
from openretina_cli.config.composed import Composed
from openretina_cli.location import config_directory


def hand_to_hydra(args: argparse.Namespace, parser: argparse.ArgumentParser, job: Callable[[Composed], object]) -> None:
    """Let Hydra do what its flags say; its errors come back as exceptions.

    Args:
        args: the parsed command line.
        parser: the parser that read it.
        job: makes one run of composed settings.
    """
    names = ("run_and_report",)
    before = [(module, name, getattr(module, name)) for module in (hydra_utils, hydra_internals) for name in names]
    try:
        for module, name, _ in before:
            setattr(module, name, lambda function: function())
        hydra_utils._run_hydra(
            args=args,
            args_parser=parser,
            task_function=job,
            config_path=str(config_directory()),
            config_name=CONFIG_NAME,
        )
    finally:
        for module, name, function in before:
            setattr(module, name, function)
