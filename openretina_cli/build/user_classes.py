"""Classes of the user's own, named in YAML by `_target_` and found in the working directory."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from openretina_cli.config.settings import closest
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


def find_class(target: str, base: type[T], setting: str) -> type[T]:
    """Import the class that `target` names.

    Args:
        target: module and class, such as `my_objectives.Mine`.
        base: what the class must inherit from.
        setting: the setting that named it, for errors.

    Raises:
        SettingError: there is no such module or class, or it is of another kind.
        RunError: the module raised when it was imported.
    """
    module_name, dot, class_name = target.rpartition(".")
    if not dot or not all(part.isidentifier() for part in target.split(".")):
        raise SettingError(f"{setting}={target}", expected="a module and a class, such as my_module.MyClass")
    module = _import_module(module_name, setting)
    fitting = {name: cls for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, base)}
    if class_name in fitting:
        return fitting[class_name]
    if inspect.isclass(getattr(module, class_name, None)):
        raise SettingError(
            f"{setting}: {target} is no {base.__name__}", expected=f"a class that inherits from {base.__name__}"
        )
    known = [name for name, cls in fitting.items() if cls is not base]
    raise SettingError(f"{setting}: {module_name} has no class {class_name}", expected=closest(class_name, known))


def construct(cls: type[T], arguments: Mapping[str, Any], offered: Mapping[str, Any], setting: str) -> T:
    """Build a user's class from the arguments in YAML, and from what the tool can offer if the constructor wants it.

    Raises:
        SettingError: the arguments do not fit the constructor.
        RunError: the constructor raised.
    """
    wanted = inspect.signature(cls).parameters
    given = {**{name: value for name, value in offered.items() if name in wanted}, **arguments}
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        takes = ", ".join(name for name in wanted if name not in offered)
        raise SettingError(
            f"{setting}: {cls.__name__}: {error}", expected=f"the arguments {takes or 'none'}"
        ) from error
    try:
        made = cls(**given)
        repr(made)  # which goes into titles and results
    except Exception as error:  # whatever a user's constructor raises
        raise RunError(f"{setting}: {cls.__name__} failed: {type(error).__name__}: {error}") from error
    return made
