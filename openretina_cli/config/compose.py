"""From a command line to composed settings: flags, overrides, and what Hydra would let pass."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal import hydra as hydra_internals
from hydra._internal import utils as hydra_utils
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from openretina_cli.config.overrides import literal, read_overrides
from openretina_cli.config.paths import PATHS, expand_home
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import GROUPS, TOP_LEVEL, Settings, current, read_settings, without_hydra
from openretina_cli.config.template import LOCKS, Job, register_resolvers
from openretina_cli.errors import SettingError
from openretina_cli.store.package import config_directory

VERSION_BASE = "1.3"
CONFIG_NAME = "optimize"


def _refuse_flag(message: str) -> NoReturn:
    setting = next((name for name in (*TOP_LEVEL, *GROUPS) if message.endswith(f" --{name}")), None)
    raise SettingError(message, repair=f"{setting}=VALUE" if setting else "openretina optimize --help")


def read_arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Split a command line into flags and overrides.

    Raises:
        SettingError: a flag is unknown.
    """
    version.setbase(VERSION_BASE)
    parser = hydra_utils.get_args_parser()
    parser.prog = "openretina optimize"
    parser.error = _refuse_flag  # type: ignore[method-assign]  # argparse prints its usage, and exits
    # intermixed: flags may stand between overrides, as in `seed=1 -m neuron=1,2`
    args = parser.parse_intermixed_args(list(argv))
    sweeps = is_sweep(args)
    args.overrides = [literal(current(text), sweeps) for text in args.overrides]
    args.config_dir = args.config_dir and expand_home(args.config_dir)
    args.config_path = args.config_path and expand_home(args.config_path)
    return args, parser


def is_sweep(args: argparse.Namespace) -> bool:
    """Whether a command line asks for several runs."""
    return args.multirun or any(text.replace(" ", "") == "hydra.mode=MULTIRUN" for text in args.overrides)


def search_path(args: argparse.Namespace) -> Any:
    """Where Hydra looks for options: the packaged ones, and the folder of `--config-dir`.

    Raises:
        SettingError: the folder is not there.
    """
    directory = args.config_path or str(config_directory())
    path = hydra_utils.create_automatic_config_search_path(None, None, str(Path(directory).absolute()))
    if args.config_dir is not None:
        extra = Path(args.config_dir).absolute()
        if not extra.is_dir():
            raise SettingError(f"--config-dir {args.config_dir} is no folder", expected="a folder with YAML files")
        anchor = SearchPathQuery(provider="schema")  # Hydra wants its schemas last
        path.prepend(provider="command-line", path=f"file://{extra}", anchor=anchor)
    return path


def expand_homes(config: DictConfig) -> None:
    """Expands `~` in the paths among composed settings, in place, also before an interpolation."""
    for path in PATHS:
        parent, _, key = path.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if not isinstance(node, DictConfig):
            continue
        value = dict(node.items_ex(resolve=False)).get(key)
        if isinstance(value, str) and value.startswith("~"):
            with flag_override(config, LOCKS, False):
                node[key] = expand_home(value)


def compose(args: argparse.Namespace, overrides: Sequence[str]) -> DictConfig:
    """Compose settings of a run, or those that the runs of a sweep share, Hydra's own among them.

    Global state of Hydra's is then as it was, so that this works inside a Hydra application as well.

    Raises:
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    register_resolvers()
    outer, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    hydra = hydra_internals.Hydra.create_main_hydra2(task_name="optimize", config_search_path=search_path(args))
    try:
        mode = RunMode.MULTIRUN if is_sweep(args) else RunMode.RUN
        config = hydra.compose_config(args.config_name or CONFIG_NAME, list(overrides), run_mode=mode)
        expand_homes(config)
        return config
    finally:
        GlobalHydra.instance().hydra = outer


def compose_settings(overrides: Sequence[str]) -> Settings:
    """The settings that overrides lead to, without running anything.

    Raises:
        SettingError: a setting is wrong.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    args, _ = read_arguments(overrides)
    read_overrides(args.overrides, sweeps=False)
    return read_settings(without_hydra(compose(args, args.overrides)))


@contextmanager
def current_restored() -> Iterator[None]:
    """Restore Hydra's record of the present job after the block."""
    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def run_alone(config: DictConfig) -> tuple[Job, Record]:
    """The one run that composed settings ask for, and what Hydra leaves beside it.

    Raises:
        SettingError: a setting is wrong.
    """
    HydraConfig.instance().set_config(config)  # so that ${hydra:...} resolves
    return Job(Path(str(config.hydra.run.dir)).absolute(), read_settings(without_hydra(config))), Record.of(config)


def run_of_hydra(config: DictConfig) -> Job:
    """The run that one of Hydra's launchers asks for, in the folder that the launcher has made.

    Raises:
        SettingError: a setting is wrong.
    """
    expand_homes(config)
    return Job(Path(HydraConfig.get().runtime.output_dir), read_settings(config))


def hand_to_hydra(
    args: argparse.Namespace, parser: argparse.ArgumentParser, job: Callable[[DictConfig], object]
) -> None:
    """Let Hydra do what its flags say; its errors come back as exceptions.

    Args:
        args: the parsed command line.
        parser: the parser that read it.
        job: makes one run of composed settings.
    """
    modules: tuple[Any, ...] = (hydra_utils, hydra_internals)
    before = [module.run_and_report for module in modules]
    try:
        for module in modules:
            module.run_and_report = lambda function: function()
        hydra_utils._run_hydra(
            args=args,
            args_parser=parser,
            task_function=job,
            config_path=str(config_directory()),
            config_name=CONFIG_NAME,
        )
    finally:
        for module, function in zip(modules, before, strict=True):
            module.run_and_report = function
