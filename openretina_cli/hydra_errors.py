"""Hydra's, OmegaConf's and YAML's errors, each turned into one sentence with its repair."""

from __future__ import annotations

import traceback
from pathlib import Path

import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import Container
from omegaconf.errors import OmegaConfBaseException

from openretina_cli.config.settings import closest
from openretina_cli.errors import SettingError


def _missing_option(error: MissingConfigException) -> SettingError:
    options = list(error.options or ())
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    if not group:
        return SettingError(_first_line(error))
    if not options:
        return SettingError(f"{group}={option}: there is no config group {group}")
    return SettingError(f"{group}={option} is no option", expected=closest(option, options))


def _unknown_key(cause: OmegaConfBaseException) -> SettingError | None:
    """What a key that is not there should have been."""
    key = str(cause.full_key or cause.key or "")
    parent = cause.parent_node
    if not key or not isinstance(parent, Container) or not hasattr(parent, "keys"):
        return None
    names = [str(name) for name in parent if str(name) != "hydra"]
    return SettingError(f"{key} is no setting", expected=closest(str(cause.key), names))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) if lines else type(error).__name__


def _composition(error: BaseException) -> SettingError:
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and (unknown := _unknown_key(cause)) is not None:
        return unknown
    return SettingError(_first_line(error))


def _yaml(error: yaml.MarkedYAMLError) -> SettingError:
    mark = error.problem_mark
    place = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    return SettingError(f"{place}{error.problem}", expected="YAML")


def _raised_in(error: BaseException, packages: tuple[str, ...]) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(package in Path(frames[-1].filename).parts for package in packages)


def explain(error: Exception) -> SettingError | None:
    """The user's mistake behind an error of Hydra's, OmegaConf's or YAML's; None if it is not one."""
    chained: BaseException | None = error
    while chained is not None:
        if isinstance(chained, yaml.MarkedYAMLError):
            return _yaml(chained)
        chained = chained.__cause__ or chained.__context__
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, (ConfigCompositionException, HydraException, OmegaConfBaseException)):
        return _composition(error)
    # Hydra reports some mistakes, such as objective=null, as a bare ValueError
    if isinstance(error, (ValueError, TypeError)) and _raised_in(error, ("hydra", "omegaconf", "antlr4")):
        return SettingError(_first_line(error))
    return None
