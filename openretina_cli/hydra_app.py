"""The verb `optimize`: hands Hydra its flags, and makes a single run itself so that its folder appears whole."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal import hydra as hydra_internals
from hydra._internal import utils as hydra_utils
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from openretina_cli.artifacts.folder import RunFolder
from openretina_cli.config.location import config_directory
from openretina_cli.config.options import LISTS
from openretina_cli.config.settings import GROUPS, Settings, read_settings
from openretina_cli.config.values import spelt
from openretina_cli.console import RunConsole, make_console
from openretina_cli.errors import ArtifactError, RunError, SettingError

VERSION_BASE = "1.3"
CONFIG_NAME = "optimize"


def _refuse_flag(message: str) -> NoReturn:
    raise SettingError(message, repair="openretina optimize --help")


def _arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
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


def _check_overrides(overrides: Sequence[str], sweeps: bool) -> None:
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        _check_override(override, sweeps)


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


def _compose(args: argparse.Namespace) -> DictConfig:
    """Compose the settings of a single run; global state of Hydra's is cleared again."""
    hydra = hydra_internals.Hydra.create_main_hydra2(task_name="optimize", config_search_path=_search_path(args))
    try:
        return hydra.compose_config(args.config_name or CONFIG_NAME, args.overrides, run_mode=RunMode.RUN)
    finally:
        GlobalHydra.instance().clear()


def compose_settings(overrides: Sequence[str]) -> Settings:
    """The settings that overrides lead to, without running anything.

    Raises:
        SettingError: a setting is wrong.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    version.setbase(VERSION_BASE)
    args, _ = _arguments(overrides)
    _check_overrides(args.overrides, sweeps=False)
    return read_settings(_without_hydra(_compose(args)))


def _without_hydra(config: DictConfig) -> DictConfig:
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(bare, DictConfig)  # noqa: S101  # what masked_copy returns, for the type checker
    return bare


def _write_provenance(config: DictConfig, stage: Path) -> None:
    """Write what Hydra writes beside a run, in the same files: settings, Hydra's own, overrides."""
    if config.hydra.output_subdir is None:
        return
    folder = stage / config.hydra.output_subdir
    folder.mkdir()
    OmegaConf.save(_without_hydra(config), folder / "config.yaml")
    OmegaConf.save(OmegaConf.masked_copy(config, ["hydra"]), folder / "hydra.yaml")
    OmegaConf.save(config.hydra.overrides.task, folder / "overrides.yaml")


def _set_output_directory(config: DictConfig, path: Path) -> None:
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(path)
    HydraConfig.instance().set_config(config)


@contextmanager
def _job(config: DictConfig, folder: RunFolder, stage: Path) -> Iterator[None]:
    """What Hydra sets up for a job: its own config, the run's log file, the provenance files."""
    before = HydraConfig.instance().cfg
    handlers, level = list(logging.root.handlers), logging.root.level
    loud, logging.raiseExceptions = logging.raiseExceptions, False  # a full disk is told by the files that matter
    try:
        _set_output_directory(config, stage)  # the log is written aside like everything else
        with folder.explained(ArtifactError):
            configure_log(config.hydra.job_logging, config.hydra.verbose)
            _set_output_directory(config, folder.path)
            _write_provenance(config, stage)
        logging.captureWarnings(True)
        yield
    finally:
        logging.captureWarnings(False)
        for handler in set(logging.root.handlers) - set(handlers):
            with suppress(OSError):  # likewise
                handler.close()
        logging.raiseExceptions = loud
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        HydraConfig.instance().cfg = before


def _finished(folder: RunFolder, settings: Settings) -> dict[str, Any] | None:
    """The result of the same run, if the folder holds it.

    Raises:
        SettingError: the folder holds a run of other settings.
    """
    result = folder.result
    if result is None or settings.overwrite:
        return None
    if result.get("settings_key") != settings.key:
        raise SettingError(
            f"out={folder.path} holds a finished run of other settings", repair="another out=, or overwrite=true"
        )
    return result


def _run_single(config: DictConfig) -> float:
    HydraConfig.instance().set_config(config)  # so that ${hydra:...} resolves
    settings = read_settings(_without_hydra(config))
    folder = RunFolder(Path(str(OmegaConf.select(config, "hydra.run.dir"))))
    folder.check()
    console = RunConsole(make_console())
    if (result := _finished(folder, settings)) is not None:
        console.console.print("this run is finished already; overwrite=true makes it again")
        console.finish(result, folder.path)
        return _value(result)
    with console.live(), folder.stage() as stage, _job(config, folder, stage):
        from openretina_cli.pipeline import run  # torch, only where something is computed

        result = run(settings, stage, console)
    console.finish(result, folder.path)
    return _value(result)


def _value(result: dict[str, Any]) -> float:
    """The final objective of a finished run.

    Raises:
        RunError: the run diverged; what it left is in its folder.
    """
    if result["failure"]:
        raise RunError(f"the run diverged: {result['failure']}", repair="a smaller optimizer.lr")
    return float(result["objective"]["final"])


def sweep_job(config: DictConfig) -> float:
    """One job of a sweep by one of Hydra's own launchers, which has made the folder already."""
    settings = read_settings(config)
    folder = RunFolder(Path(HydraConfig.get().runtime.output_dir))
    if (result := _finished(folder, settings)) is None:
        from openretina_cli.pipeline import run  # torch, only where something is computed

        console = RunConsole(make_console())
        with console.live(), folder.stage() as stage:
            result = run(settings, stage, console)
        console.finish(result, folder.path)
    return _value(result)


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


def optimize(argv: Sequence[str]) -> None:
    """Run `openretina optimize` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or a run that failed.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    version.setbase(VERSION_BASE)
    args, parser = _arguments(argv)
    asks_hydra = (args.cfg, args.info, args.multirun, args.hydra_help, args.shell_completion, args.resolve)
    sweeps = args.multirun or any(text.replace(" ", "") == "hydra.mode=MULTIRUN" for text in args.overrides)
    if not args.shell_completion:
        _check_overrides(args.overrides, sweeps)
    if any(asks_hydra) or sweeps or args.experimental_rerun:
        _hand_to_hydra(args, parser)
    else:
        _run_single(_compose(args))
