"""Imports the class that a `_target_` names, and says in one line why that is not possible."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any, TypeVar, cast

from openretina_cli.checks import closest
from openretina_cli.errors import RunError, SettingError

T = TypeVar("T")


def _import_module(name: str, setting: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise SettingError(f"{setting}: {name} imports {error.name}, which is not installed") from error
        raise SettingError(
            f"{setting}: there is no module {name}", expected=f"{name}.py in {here}, or an installed package"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        raise RunError(f"{setting}: importing {name} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)


def _owner(name: str, setting: str) -> Any:
    """The module of that name, or the class, for a target that names one of its methods."""
    try:
        return _import_module(name, setting)
    except SettingError:
        outer, _, class_name = name.rpartition(".")
        found = getattr(_import_module(outer, setting), class_name, None) if outer else None
        if not inspect.isclass(found):
            raise
        return found


def _parts(owner: Any, base: type) -> list[str]:
    """What a target may name in a module or class: classes that inherit from `base`, or ways to make an instance."""
    if inspect.isclass(owner):
        return [name for name, part in vars(owner).items() if isinstance(part, (classmethod, staticmethod))]
    classes = inspect.getmembers(owner, inspect.isclass)
    return [name for name, cls in classes if issubclass(cls, base) and cls is not base]


def find_class(target: str, base: type[T], setting: str) -> type[T]:
    """Import the class that `target` names, or the function or class method that makes one of its instances.

    Args:
        target: module and class, such as `my_objectives.Mine`.
        base: what the class must inherit from.
        setting: the setting that named the class, for errors.

    Raises:
        SettingError: there is no such module or class, or it is of another kind.
        RunError: the module raised when it was imported.
    """
    owner_name, _, name = target.rpartition(".")
    owner = _owner(owner_name, setting)
    found = getattr(owner, name, None)
    if inspect.isclass(found) and not issubclass(found, base):
        raise SettingError(
            f"{setting}: {target} is no {base.__name__}", expected=f"a class that inherits from {base.__name__}"
        )
    if found is None:
        kind = "class method" if inspect.isclass(owner) else "class"
        problem = f"{setting}: {owner_name} has no {kind} {name}"
        raise SettingError(problem, expected=closest(name, _parts(owner, base)))
    if not callable(found):
        raise SettingError(f"{setting}={target} is nothing that can be called", expected="a class or a function")
    return cast("type[T]", found)
