"""Objects of the user's own, named in YAML by `_target_` and found in the working directory."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from openretina_cli.config.settings import TARGET, closest
from openretina_cli.errors import OpenRetinaError, RunError, SettingError

T = TypeVar("T")

POSITIONAL = "_args_"
"""Arguments by position, as Hydra calls them."""


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


def _check_name(target: str, setting: str) -> None:
    if "." not in target or not all(part.isidentifier() for part in target.split(".")):
        raise SettingError(f"{setting}={target}", expected="a module and a class, such as my_module.MyClass")


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
    _check_name(target, setting)
    module_name, _, class_name = target.rpartition(".")
    return _member(_import_module(module_name, setting), class_name, base, setting)


def _member(module: Any, name: str, base: type[T], setting: str) -> type[T]:
    """The class of a module with that name."""
    fitting = {name: cls for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, base)}
    if name in fitting:
        return fitting[name]
    if inspect.isclass(getattr(module, name, None)):
        raise SettingError(
            f"{setting}: {module.__name__}.{name} is no {base.__name__}",
            expected=f"a class that inherits from {base.__name__}",
        )
    known = [name for name, cls in fitting.items() if cls is not base]
    raise SettingError(f"{setting}: {module.__name__} has no class {name}", expected=closest(name, known))


def _method(module_name: str, name: str, setting: str, absent: SettingError) -> Any:
    """The method that a target names, whose last but one part is a class and no module."""
    outer, _, class_name = module_name.rpartition(".")
    owner = getattr(_import_module(outer, setting), class_name, None) if outer else None
    if not inspect.isclass(owner):
        raise absent
    return getattr(owner, name, None)


def _find_maker(target: str, base: type, setting: str) -> Callable[..., Any]:
    """Import the class, class method or function that `target` names."""
    _check_name(target, setting)
    module_name, _, name = target.rpartition(".")
    try:
        module = _import_module(module_name, setting)
    except SettingError as absent:
        maker = _method(module_name, name, setting, absent)
        if maker is None:
            raise SettingError(f"{setting}: {module_name} has no {name}", expected="a class method") from absent
    else:
        maker = getattr(module, name, None)
        if maker is None or (inspect.isclass(maker) and base is not object):
            return _member(module, name, base, setting)
    if not callable(maker):
        raise SettingError(f"{setting}={target} is nothing that can be called", expected="a class or a function")
    found: Callable[..., Any] = maker
    return found


def _built(node: object, setting: str) -> Any:
    """An argument, with an object in the place of every mapping that has a `_target_`."""
    if isinstance(node, Mapping):
        if TARGET in node:
            return build_target(node, object, setting)
        return {key: _built(item, f"{setting}.{key}") for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return [_built(item, f"{setting}.{index}") for index, item in enumerate(node)]
    return node


def build_target(node: Mapping[str, Any], base: type[T], setting: str) -> T:
    """Build what `_target_` makes of the other keys; `_args_` holds arguments by position, and targets may be nested.

    Args:
        node: `_target_` names a class, a class method or a function.
        base: what must come out.
        setting: the setting, for errors.

    Raises:
        SettingError: there is nothing of that name, the arguments do not fit, or something else came out.
        RunError: it raised.
    """
    target = node[TARGET]
    if not isinstance(target, str):
        raise SettingError(f"{setting}.{TARGET} is no name", repair=f"{setting}.{TARGET}=my_module.MyClass")
    maker = _find_maker(target, base, f"{setting}.{TARGET}")
    named = {key: _built(item, f"{setting}.{key}") for key, item in node.items() if key not in (TARGET, POSITIONAL)}
    made = construct(maker, named, {}, setting, *_built(node.get(POSITIONAL, []), f"{setting}.{POSITIONAL}"))
    if not isinstance(made, base):
        raise SettingError(f"{setting}: {target} returned a {type(made).__name__}", expected=f"a {base.__name__}")
    return made


def construct(
    make: Callable[..., T], arguments: Mapping[str, Any], offered: Mapping[str, Any], setting: str, *positional: Any
) -> T:
    """Build a user's object from the arguments in YAML, and from what the tool can offer if the constructor takes it.

    Args:
        make: a class, class method or function.
        arguments: by name.
        offered: values that are passed only where `make` names them.
        setting: the setting that named it, for errors.
        positional: arguments by position.

    Raises:
        SettingError: the arguments do not fit.
        RunError: the constructor raised.
    """
    name = getattr(make, "__qualname__", repr(make))
    try:
        takes = inspect.signature(make)
    except ValueError:  # a builtin without a signature
        takes = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])
    given = {**{key: value for key, value in offered.items() if key in takes.parameters}, **arguments}
    try:
        takes.bind(*positional, **given)
    except TypeError as error:
        own = ", ".join(key for key in takes.parameters if key not in offered)
        raise SettingError(f"{setting}: {name}: {error}", expected=f"the arguments {own or 'none'}") from error
    try:
        made = make(*positional, **given)
        repr(made)  # which goes into titles and results
    except OpenRetinaError:
        raise
    except Exception as error:  # whatever a user's constructor raises
        raise RunError(f"{setting}: {name} failed: {type(error).__name__}: {error}") from error
    return made
