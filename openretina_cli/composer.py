"""From a command line to composed settings: flags, overrides, and what Hydra would let pass."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal import hydra as hydra_internals
from hydra._internal import utils as hydra_utils
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from openretina_cli.config.location import config_directory
from openretina_cli.config.options import LISTS
from openretina_cli.config.settings import GROUPS, Settings, read_settings
from openretina_cli.config.values import spelt
from openretina_cli.errors import SettingError
from openretina_cli.sweep.template import register_resolvers

VERSION_BASE = "1.3"
CONFIG_NAME = "optimize"


def _refuse_flag(message: str) -> NoReturn:
    raise SettingError(message, repair="openretina optimize --help")


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
    return parser.parse_intermixed_args(list(argv)), parser


def _check_override(override: Override, sweeps: bool) -> None:
    """Refuse what Hydra would let pass, or refuse without naming it.

    Raises:
        SettingError: a group is given something that is no option, or one run several values.
    """
    text, group = str(override.input_line), override.key_or_group
    if not group:
        raise SettingError(f"cannot read {text}", expected="KEY=VALUE")
    if override.is_sweep_override():
        if not sweeps:
            raise SettingError(
                f"{text} means several runs", repair=f"-m {shlex.quote(text)}, or a list in brackets for one run"
            )
        return
    value = override.value()
    if group not in GROUPS or override.is_delete() or isinstance(value, (str, dict)):
        return
    if group not in LISTS:
        raise SettingError(f"{group}={spelt(value)} chooses no option", expected=f"one, such as {group}=NAME")
    if not isinstance(value, list):
        raise SettingError(f"{group}={spelt(value)} chooses no option", expected=f"a list, or {group}=[] for none")


def read_overrides(texts: Sequence[str], sweeps: bool) -> list[Override]:
    """Parse overrides, and check them.

    Args:
        texts: as they were typed.
        sweeps: whether one may stand for several runs.

    Raises:
        SettingError: one is wrong.
        Exception: an error of Hydra's, which `hydra_errors.explain` puts into a sentence.
    """
    overrides = OverridesParser.create().parse_overrides(list(texts))
    for override in overrides:
        _check_override(override, sweeps)
    return overrides


def _search_path(args: argparse.Namespace) -> Any:
    directory = args.config_path or str(config_directory())
    path = hydra_utils.create_automatic_config_search_path(None, None, str(Path(directory).absolute()))
    if args.config_dir is not None:
        extra = Path(args.config_dir).absolute()
        if not extra.is_dir():
            raise SettingError(f"--config-dir {args.config_dir} is no folder", expected="a folder with YAML files")
        anchor = SearchPathQuery(provider="schema")  # Hydra wants its schemas last
        path.prepend(provider="command-line", path=f"file://{extra}", anchor=anchor)
    return path


def compose(args: argparse.Namespace, overrides: Sequence[str], run_mode: RunMode = RunMode.RUN) -> DictConfig:
    """Compose settings, Hydra's own among them; global state of Hydra's is cleared again.

    Raises:
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    register_resolvers()
    hydra = hydra_internals.Hydra.create_main_hydra2(task_name="optimize", config_search_path=_search_path(args))
    try:
        return hydra.compose_config(args.config_name or CONFIG_NAME, list(overrides), run_mode=run_mode)
    finally:
        GlobalHydra.instance().clear()


def compose_settings(overrides: Sequence[str]) -> Settings:
    """The settings that overrides lead to, without running anything.

    Raises:
        SettingError: a setting is wrong.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    args, _ = read_arguments(overrides)
    read_overrides(args.overrides, sweeps=False)
    return read_settings(without_hydra(compose(args, args.overrides)))


def without_hydra(config: DictConfig) -> DictConfig:
    """The settings without Hydra's own."""
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(bare, DictConfig)  # noqa: S101  # what masked_copy returns, for the type checker
    return bare
