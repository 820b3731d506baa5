"""Hydra's, OmegaConf's and YAML's errors, each turned into one sentence with its repair."""

from __future__ import annotations

import re
import shlex
import traceback
from pathlib import Path

import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from openretina_cli.checks import closest
from openretina_cli.config.help import settings_of
from openretina_cli.config.overrides import repair_by_quotes
from openretina_cli.config.settings import GROUPS, LISTS, ONES, REPLACED, TOP_LEVEL
from openretina_cli.errors import OpenRetinaError, RunError, SettingError
from openretina_cli.store.package import config_directory

CHECKPOINTS = (".ckpt", ".pt", ".pth")
"""What the files of models end in."""
PACKAGES = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
    "optuna": "hydra-optuna-sweeper",
    "ax": "hydra-ax-sweeper",
    "nevergrad": "hydra-nevergrad-sweeper",
}
"""The packages of Hydra's own launchers and sweepers."""

APPEND = re.compile(r"To append to your config use (\+.+)")
"""The repair in Hydra's error about a key that is not there."""


def _own_model(text: str) -> str:
    """The override for a checkpoint that was given where the name of a model belongs; empty for what is no path."""
    if "/" not in text and Path(text).suffix not in CHECKPOINTS:
        return ""
    option = "ensemble_directory" if Path(text).expanduser().is_dir() else "core_readout"
    return shlex.join([f"model={option}", f"model.path={text}"])


def _missing_option(error: MissingConfigException) -> SettingError:
    missing = str(error.missing_cfg_file or "")
    if missing.startswith("model/") and (repair := _own_model(missing.removeprefix("model/"))):
        return SettingError(f"{missing.replace('/', '=', 1)} is a path, no option", repair=repair)
    group, _, option = missing.rpartition("/")
    if not group:
        return SettingError(_first_line(error, 1))
    # of a list of options, such as constraint=[nrom], Hydra does not say what there is
    options = error.options or sorted(path.stem for path in (config_directory() / group).glob("*.yaml"))
    if not options:
        return SettingError(f"{group}={option}: there is no config group {group}")
    if option in PACKAGES and group in ("hydra/launcher", "hydra/sweeper"):
        return SettingError(f"{group}={option} is not installed", repair=f"pip install {PACKAGES[option]}")
    return SettingError(f"{group}={option} is no option", expected=closest(option, options))


def _appended(error: BaseException, parent: DictConfig) -> str:
    """The override that adds an argument to a class of the user's choice; empty for what takes no other settings."""
    target = parent.get("_target_")
    found = APPEND.search(str(error))  # Hydra's error alone holds the override that was typed
    if found is None or not isinstance(target, str) or target.startswith("openretina_cli."):
        return ""
    return f"{shlex.quote(found[1])}, where {target} takes it"


def _elsewhere(key: str, parent: DictConfig) -> str:
    """Where a setting is that was looked for in the wrong place: below a group, or in other options of its group."""
    group, _, name = key.partition(".")
    if not name:
        nodes = {group: parent._get_node(group) for group in ONES}
        return " or ".join(
            f"{group}.{key}" for group, node in nodes.items() if isinstance(node, DictConfig) and key in node
        )
    files = sorted((config_directory() / group).glob("*.yaml")) if group in ONES else []
    having = [path.stem for path in files if any(setting.key == name for setting in settings_of(path))]
    return f"{group}={having[0]}, which has {name}" if having else ""


def _unknown_key(error: BaseException, cause: OmegaConfBaseException) -> SettingError | None:
    """What a key that is not there should have been."""
    key = str(cause.full_key or cause.key or "")
    parent = cause.parent_node
    if not key or not isinstance(parent, DictConfig):
        return None
    group, _, option = key.partition(".")
    if group in LISTS and (config_directory() / group / f"{option}.yaml").is_file():
        chosen = ",".join(map(str, [*parent, option]))
        return SettingError(f"{key} is not chosen, so it has no settings", repair=f"{group}=[{chosen}]")
    if key in GROUPS:  # a list from which nothing is chosen is not there
        return SettingError(f"no {key} is chosen, so it has no settings", repair=f"{key}=[OPTION] first")
    # the root leaves out the groups that are empty, and holds Hydra's own settings
    names = [*TOP_LEVEL, *GROUPS] if key == str(cause.key) else [str(name) for name in parent if name != "_target_"]
    repair = _appended(error, parent)
    repair = repair or _elsewhere(key, parent)
    return SettingError(f"{key} is no setting", expected=closest(str(cause.key), names), repair=repair)


def _first_line(error: BaseException, count: int = 2) -> str:
    """The first lines of an error's text, as one."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:count]) if lines else type(error).__name__


def _composition(error: BaseException) -> SettingError:
    cause = error.__cause__
    if "Cannot merge DictConfig with ListConfig" in str(error):  # the key is not told
        replaced = f"a list in output.figure of version 0.1 was replaced by {REPLACED['output.figure']}"
        return SettingError(_first_line(error), expected=f"settings where an option has settings; {replaced}")
    if isinstance(cause, OmegaConfBaseException) and (unknown := _unknown_key(error, cause)) is not None:
        return unknown
    return SettingError(_first_line(error))


def _yaml(error: yaml.MarkedYAMLError) -> SettingError:
    mark = error.problem_mark
    place = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    return SettingError(f"{place}{error.problem}", expected="YAML")


def _file_being_read(error: BaseException) -> str | None:
    """The YAML file that Hydra was reading when it failed, which its errors do not tell."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "load_config"]
    paths = [str(frame.f_locals["full_path"]) for frame in frames if "full_path" in frame.f_locals]
    return paths[-1] if paths else None


def _raised_in(error: BaseException, packages: tuple[str, ...]) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(package in Path(frames[-1].filename).parts for package in packages)


def explain(error: Exception) -> OpenRetinaError | None:
    """The mistake behind an error of Hydra's, OmegaConf's, YAML's or a launcher's; None if it is not one."""
    if type(error).__name__ == "FailedJobError":  # submitit's, which need not be installed
        return RunError(f"Slurm does not take the job: {_first_line(error)}", repair="sinfo, to see whether it answers")
    chained: BaseException | None = error
    while chained is not None:
        if isinstance(chained, yaml.MarkedYAMLError):
            return _yaml(chained)
        chained = chained.__cause__ or chained.__context__
    if isinstance(error, OverrideParseException):
        text = str(error.override)
        missing = f"{text}=VALUE, without blanks" if text in (*TOP_LEVEL, *GROUPS) else ""
        return SettingError(
            f"cannot read {text}",
            expected="KEY=VALUE, with every bracket and quote closed",
            repair=repair_by_quotes(text) or missing,
        )
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, (ConfigCompositionException, HydraException, OmegaConfBaseException)):
        return _composition(error)
    if isinstance(error, (OSError, UnicodeError)) and (path := _file_being_read(error)) is not None:
        return SettingError(f"{path} cannot be read: {_first_line(error)}", expected="lines of KEY: VALUE")
    # Hydra reports some mistakes, such as objective=null, as a bare ValueError
    if isinstance(error, (ValueError, TypeError)) and _raised_in(error, ("hydra", "omegaconf", "antlr4")):
        return SettingError(_first_line(error))
    return None
