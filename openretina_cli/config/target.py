"""The one door from settings to objects: `_target_` names a class, and the other settings are its arguments.

Built-in options and classes of the user's own take the same way: names and types are checked against the signature of
the constructor, arguments that the pipeline offers are passed by name to a constructor that takes them, and a setting
that holds a `_target_` of its own is built first.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from openretina_cli.checks import closest, spelt
from openretina_cli.config.class_import import find_class
from openretina_cli.config.signature import example_of, fitted, read_signature
from openretina_cli.errors import OpenRetinaError, RunError, SettingError
from openretina_cli.store.package import PACKAGE, config_directory, own_text, own_yaml

TARGET = "_target_"
POSITIONAL = "_args_"
"""Arguments by position, as Hydra calls them."""
MISSING = "???"
OFFERED = frozenset({"model", "data_key", "response_reducer", "facts", "seed", "device", "frames", "report"})
"""Arguments that the pipeline can pass by name to the constructor of an option."""
YAML_WORDS = {True: "on", False: "off"}
"""YAML reads the bare keys `on` and `off` as truth values; here they are the clusters of an objective."""

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One option of a group, with its names and types checked as far as no import is needed.

    Attributes:
        target: module and class (or function) that builds it.
        arguments: its other settings.
        prefix: how its settings are addressed on the command line, such as `objective.`.
    """

    target: str
    arguments: Mapping[str, Any]
    prefix: str = field(compare=False)

    @property
    def name(self) -> str:
        """The option's short name: the file of a built-in class, the path of a user's."""
        return self.target.split(".")[-2] if _is_ours(self.target) else self.target

    def with_arguments(self, **arguments: Any) -> Option:
        """The same option with some arguments replaced."""
        return replace(self, arguments={**self.arguments, **arguments})


def _is_ours(target: str) -> bool:
    return target.startswith(f"{PACKAGE.name}.")


def _replacement(group: str, kind: object) -> str:
    """The `_target_` of the packaged option that a `kind` of version 0.1 named."""
    path = config_directory() / group / f"{kind}.yaml"
    if not path.is_file():
        return f"{TARGET}: my_module.MyClass, or as in {group}/*.yaml of the package"
    node = own_yaml(path)
    return f"{TARGET}: {(node if TARGET in node else next(iter(node.values())))[TARGET]}"


@cache
def packaged_targets() -> frozenset[str]:
    """The classes of the packaged options, which may be imported whoever names them."""
    texts = [own_text(path) for path in config_directory().glob("*/*.yaml")]
    return frozenset(target for text in texts for target in re.findall(rf"^ *{TARGET}: ([\w.]+)", text, re.MULTILINE))


def _check_target(node: Mapping[str, Any], group: str, prefix: str) -> str:
    target = node.get(TARGET, MISSING)
    if "kind" in node and target == MISSING:
        kind = spelt(node["kind"])
        raise SettingError(
            f"{prefix}kind={kind} is of version 0.1, and was replaced by {TARGET}", repair=_replacement(group, kind)
        )
    if not isinstance(target, str) or target == MISSING:
        raise SettingError(f"{prefix}{TARGET} is missing", repair=f"{prefix}{TARGET}=my_module.MyClass")
    if len(target.split(".")) < 2 or not all(part.isidentifier() for part in target.split(".")):
        raise SettingError(f"{prefix}{TARGET}={target}", expected="a module and a class, such as my_module.MyClass")
    return target


def read_option(group: str, node: object, prefix: str) -> Option:
    """Check one option of a group, without importing it.

    Args:
        group: the config group.
        node: the option's settings.
        prefix: see `Option`.

    Raises:
        SettingError: the node is no option, or a setting of it is misspelt, missing or of the wrong type.
    """
    if not isinstance(node, Mapping):
        raise SettingError(f"{prefix.rstrip('.')}={spelt(node)} is no option", expected=f"settings with a {TARGET}")
    node = {YAML_WORDS[key] if isinstance(key, bool) else str(key): value for key, value in node.items()}
    target = _check_target(node, group, prefix)
    given = {name: _read_nested(group, value, f"{prefix}{name}.") for name, value in node.items() if name != TARGET}
    return Option(target, _checked(read_signature(target, prefix + TARGET), given, prefix), prefix)


def _read_nested(group: str, value: Any, prefix: str) -> Any:
    """A setting, with every mapping in it that has a `_target_` read as an option."""
    if isinstance(value, (list, tuple)):
        return [_read_nested(group, item, f"{prefix}{index}.") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if TARGET in value or (group != "model" and "kind" in value):
        return read_option(group, value, prefix)
    return {key: _read_nested(group, item, f"{prefix}{key}.") for key, item in value.items()}


def _checked(signature: inspect.Signature | None, given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The settings in the types of the signature, where that is known.

    Raises:
        SettingError: a setting is unknown, missing or of the wrong type.
    """
    parameters = signature.parameters if signature else {}
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in given.items():
        if signature and not is_open and name not in (*parameters, POSITIONAL):
            known = [known for known in parameters if known in given or known not in OFFERED]
            raise SettingError(f"{prefix}{name} is no setting", expected=closest(name, known) or "none")
        if value == MISSING:
            raise SettingError(
                f"{prefix}{name} is missing", repair=f"{prefix}{name}={example_of(parameters.get(name))}"
            )
    return {
        name: fitted(parameters[name], value, prefix + name)
        if name in parameters and not isinstance(value, Option)
        else value
        for name, value in given.items()
    }


def takes(option: Option, name: str) -> bool:
    """Whether the constructor of an option takes an argument of that name."""
    signature = read_signature(option.target, option.prefix + TARGET)
    if signature is None:
        signature = inspect.signature(find_class(option.target, object, option.prefix + TARGET))
    return name in signature.parameters


def build(option: Option, base: type[T], offered: Mapping[str, Any], nested: Mapping[str, Any] | None = None) -> T:
    """Build an option.

    Args:
        option: what to build.
        base: what the class must inherit from.
        offered: arguments that the pipeline passes by name to a constructor that takes them; names are of `OFFERED`.
        nested: the same for options among the arguments; None means `offered`.

    Raises:
        SettingError: the settings do not fit the constructor, or the class refuses a value.
        RunError: the class could not be imported, or raised.
    """
    cls = find_class(option.target, base, option.prefix + TARGET)
    inner = offered if nested is None else nested
    given = {name: _built(value, inner) for name, value in option.arguments.items()}
    made = construct(cls, given, option.prefix, offered)
    if not isinstance(made, base):
        raise SettingError(
            f"{option.prefix}{TARGET}: {option.target} returned a {type(made).__name__}", expected=f"a {base.__name__}"
        )
    return made


def construct(
    cls: Callable[..., T], given: Mapping[str, Any], prefix: str, offered: Mapping[str, Any] = MappingProxyType({})
) -> T:
    """Call a constructor with settings, and with what is offered of the arguments that it takes.

    Args:
        cls: the class, or a function.
        given: settings, which come before what is offered.
        prefix: how the settings are addressed on the command line.
        offered: see `build`.

    Raises:
        SettingError: the settings do not fit the constructor, or the class refuses a value.
        RunError: the class raised.
    """
    try:
        signature = inspect.signature(cls)
    except ValueError:  # a builtin without a signature
        signature = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])
    positional = given.get(POSITIONAL, [])
    passed = {name: offered[name] for name in signature.parameters if name in offered}
    passed |= _checked(signature, given, prefix)
    for name, parameter in [*signature.parameters.items()][len(positional) :]:
        named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if named and parameter.default is parameter.empty and name not in passed:
            added = "+" if prefix else ""  # a key that the YAML does not have
            raise SettingError(f"{prefix}{name} is missing", repair=f"{added}{prefix}{name}={example_of(parameter)}")
    return _called(cls, passed, prefix)


def _built(value: Any, offered: Mapping[str, Any]) -> Any:
    if isinstance(value, Option):
        return build(value, object, offered)
    if isinstance(value, Mapping):
        return {key: _built(item, offered) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built(item, offered) for item in value]
    return value


def _called(cls: Callable[..., T], given: Mapping[str, Any], prefix: str) -> T:
    named = {name: value for name, value in given.items() if name != POSITIONAL}
    try:
        made = cls(*given.get(POSITIONAL, []), **named)
        repr(made)  # which goes into titles and results
    except SettingError as error:
        raise prefixed(error, prefix, given) from error
    except OpenRetinaError:
        raise
    except Exception as error:  # whatever a user's constructor raises
        setting = prefix.rstrip(".")
        raise RunError(f"{setting}: {cls.__qualname__} failed: {type(error).__name__}: {error}") from error
    return made


def prefixed(error: SettingError, prefix: str, names: Mapping[str, Any]) -> SettingError:
    """The error of a class, with its argument named as the setting that it is."""
    match = re.match(r"\w+", error.problem)
    problem = prefix + error.problem if match and match[0] in names else error.problem
    return SettingError(problem, expected=error.expected, repair=error.repair)
