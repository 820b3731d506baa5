"""From composed YAML to typed, checked settings; every mistake is one sentence with its repair."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, InterpolationResolutionError, OmegaConfBaseException, ValidationError

from openretina_cli.config.options import KINDS, LISTS, Noise, Optimizer, Option, Output, UserClass
from openretina_cli.config.values import NeuronChoice, neuron_choice, one_of, require, spelt
from openretina_cli.errors import SettingError
from openretina_cli.store.identity import settings_key

OBJECTIVES = ("neuron", "group")
"""Settings at the top level that an objective may state otherwise for itself."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
TARGET = "_target_"
MOST_NAMES = 20
"""A list of names that is longer is cut; a checkpoint may have hundreds of sessions."""
YAML_WORDS = {True: "on", False: "off"}
"""YAML reads the bare keys `on` and `off` as truth values; here they are the clusters of an objective."""

T = TypeVar("T")


@dataclass
class TopLevel:
    """The plain settings above the groups."""

    session: str | None = None
    neuron: Any = MISSING
    group: int | None = None
    seed: int = MISSING
    device: str = MISSING
    out: str = MISSING
    overwrite: bool = False
    keep: str = "last"
    tf32: bool = False
    fail_fast: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        one_of("keep", self.keep, ("last", "best"))
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        require(DEVICE.fullmatch(self.device) is not None, "device", self.device, "auto, cpu, cuda, cuda:0 or mps")
        require(self.out.strip() != "", "out", self.out, "a folder")
        self.neuron = neuron_choice("neuron", self.neuron)


TOP_LEVEL = tuple(field.name for field in fields(TopLevel))
GROUPS = (*KINDS, "optimizer", "stimulus", "output")


@dataclass
class Settings:
    """All settings of one run, checked.

    Attributes:
        session: the session (`data_key`); None means the checkpoint's first.
        neuron: a neuron, several for a joint stimulus, or "all", as the objective has it.
        group: a cell-type group, whose neurons are meant instead of `neuron`.
        seed: of the start.
        device: auto, cpu, cuda, cuda:N or mps.
        out: the run's folder.
        overwrite: whether a finished run there is replaced.
        keep: whether the last or the best stimulus is kept.
        tf32: whether a GPU may round the factors of products to 10 bits.
        fail_fast: whether a sweep stops at its first failed run.
        constraint: by name, in the order they are applied.
        penalty: by name.
        key: hex digest of everything that shapes the result, the same for equal runs.
        values: the settings as they were composed, as plain containers.
    """

    session: str | None
    neuron: NeuronChoice
    group: int | None
    seed: int
    device: str
    out: str
    overwrite: bool
    keep: str
    tf32: bool
    fail_fast: bool
    model: Option
    objective: Option
    reducer: Option
    constraint: dict[str, Option]
    penalty: dict[str, Option]
    optimizer: Optimizer
    stopper: Option
    stimulus: Noise
    output: Output
    key: str
    values: Mapping[str, Any]


def closest(name: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt name: the closest known one, and all of them; empty where none is known."""
    names = list(known)
    if not names:
        return ""
    match = difflib.get_close_matches(name, names, n=1)
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    suggestion = f"{match[0]} (did you mean that?), or " if match else ""
    return f"{suggestion}one of {', '.join(names[:MOST_NAMES])}{more}"


def _type_name(annotation: object) -> str:
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "str": "text",
        "list[int]": "a list of whole numbers",
        "list[list[int]]": "a list of lists of whole numbers",
        "list[str]": "a list of names",
        "dict[str, Any]": "a mapping",
    }
    kind, _, optional = str(annotation).partition(" | ")
    return names.get(kind, kind) + (" or null" if optional else "")


def _bad_value(cls: type, node: Mapping[str, Any]) -> tuple[str, str]:
    """The value that does not fit its type: `key=value`, and what was expected there."""
    annotations = {field.name: field.type for field in fields(cls)}
    for key, value in node.items():  # one by one, as OmegaConf does not always name the key
        try:
            OmegaConf.merge(OmegaConf.structured(cls), {key: value})
        except OmegaConfBaseException:
            return f"{key}={spelt(value)}", _type_name(annotations[key])
    raise TypeError(f"{cls.__name__} refused {dict(node)}, but none of its values alone")


def typed(cls: type[T], node: Mapping[str, Any], prefix: str) -> T:
    """Check a mapping against a dataclass and build it.

    Raises:
        SettingError: a key is unknown or missing, or a value has the wrong type or does not pass its check.
    """
    examples = {field.name: field.metadata.get("example", "VALUE") for field in fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    names = list(examples)
    node = {YAML_WORDS[key] if isinstance(key, bool) else key: value for key, value in node.items()}
    for key in node:
        if key not in names:
            settings = [name for name in names if name != "kind"]
            raise SettingError(f"{prefix}{key} is no setting", expected=closest(str(key), settings))
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), node)
        missing = sorted(OmegaConf.missing_keys(merged), key=lambda path: names.index(path.split(".")[0]))
        if missing:
            # all that is required below a field is the class of a module
            example = examples.get(missing[0], "my_module.MyClass")
            raise SettingError(f"{prefix}{missing[0]} is missing", repair=f"{prefix}{missing[0]}={example}")
        built = OmegaConf.to_object(merged)
    except SettingError as error:
        mended = error.problem if error.problem.startswith(prefix) else prefix + error.problem
        raise SettingError(mended, expected=error.expected, repair=error.repair) from error
    except (ValidationError, ConfigKeyError) as error:
        problem, expected = _bad_value(cls, node)
        raise SettingError(prefix + problem, expected=expected) from error
    assert isinstance(built, cls)  # noqa: S101  # what to_object promises, for the type checker
    return built


def read_option(group: str, node: object, prefix: str) -> Option:
    """Check one option of a group.

    Args:
        group: the config group.
        node: the option's settings.
        prefix: how its settings are addressed on the command line, such as `objective.`.

    Raises:
        SettingError: it is no option of the group, or a setting of it is wrong.
    """
    kinds = KINDS[group]
    if not isinstance(node, Mapping):
        raise SettingError(f"{prefix.rstrip('.')}={spelt(node)} is no option", expected="one of " + ", ".join(kinds))
    if TARGET in node:
        arguments = {key: value for key, value in node.items() if key not in (TARGET, "kind")}
        if not isinstance(node[TARGET], str) or node[TARGET] == MISSING:
            raise SettingError(f"{prefix}{TARGET} is missing", repair=f"{prefix}{TARGET}=my_module.MyClass")
        return UserClass("custom", node[TARGET], arguments)
    kind = node.get("kind")
    if kind is None and group in LISTS:
        name = prefix.rstrip(".")
        raise SettingError(f"{name} has settings, but is not chosen", repair=f"its name in {group}=[...], or no {name}")
    if kind not in kinds or kind == "custom":  # which is told by its _target_ alone
        own = ", or " + f"{prefix}{TARGET}=my_module.MyClass" if "custom" in kinds else ""
        built_in = ", ".join(name for name in kinds if name != "custom")
        raise SettingError(f"{prefix}kind={spelt(kind)}", expected=f"one of {built_in}{own}")
    return typed(kinds[kind], node, prefix)


def _read_many(group: str, node: object) -> dict[str, Option]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise SettingError(f"{group}={spelt(node)}", expected=f"a list of options, such as {group}=[range]")
    return {str(name): read_option(group, option, f"{group}.{name}.") for name, option in node.items()}


def _read_optimizer(node: object) -> Optimizer:
    if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str):
        raise SettingError(f"optimizer.{TARGET} is missing", repair=f"optimizer.{TARGET}=torch.optim.SGD")
    for name, value in node.items():
        if value == MISSING:
            raise SettingError(f"optimizer.{name} is missing", repair=f"optimizer.{name}=VALUE")
    return Optimizer(node[TARGET], {str(name): value for name, value in node.items() if name != TARGET})


def _mapping(group: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
    found = node.get(group)
    if not isinstance(found, Mapping):
        raise SettingError(f"{group}={spelt(found)} is no option")
    return found


def _reader(group: str) -> Callable[[Mapping[str, Any]], Any]:
    if group in LISTS:
        return lambda node: _read_many(group, node.get(group))
    return lambda node: read_option(group, node.get(group), f"{group}.")


# The stimulus comes first: other settings refer to its norm, and the one that was typed is to be named.
READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "stimulus": lambda node: typed(Noise, _mapping("stimulus", node), "stimulus."),
    **{group: _reader(group) for group in sorted(KINDS, key=LISTS.__contains__)},
    "optimizer": lambda node: _read_optimizer(node.get("optimizer")),
    "output": lambda node: typed(Output, _mapping("output", node), "output."),
}
"""How the settings of each group are read, in the order in which mistakes are looked for."""


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """The composed settings as plain containers, interpolations resolved.

    `neuron` and `group` are those of the objective, which owns them: at the top level they are its default only.

    Raises:
        SettingError: an interpolation leads nowhere.
    """
    try:
        node = OmegaConf.to_container(config, resolve=True)
    except InterpolationResolutionError as error:
        raise SettingError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(node, dict)  # noqa: S101  # a DictConfig's container, for the type checker
    plain = {str(key): value for key, value in node.items() if key != "hydra"}
    objective = plain.get("objective")
    if isinstance(objective, dict):
        plain |= {
            key: objective[key] for key in OBJECTIVES if key in plain and _is_sound(key, objective.get(key, MISSING))
        }
    return plain


def _is_sound(key: str, value: object) -> bool:
    """Whether an objective states a value that is one at the top level as well; if not, its own reader says why."""
    if key == "group":
        return value is None or (isinstance(value, int) and not isinstance(value, bool))
    try:
        neuron_choice(key, value)
    except SettingError:
        return False
    return True


def check_varied(key: str, value: object) -> None:
    """Check one of the settings in which the runs of a stack may differ, before any of them begins.

    Raises:
        SettingError: the setting cannot take the value.
    """
    if key == "neuron":
        neuron_choice(key, value)
    elif key == "seed":
        require(isinstance(value, int) and not isinstance(value, bool), key, value, "a whole number")
        TopLevel(neuron=0, seed=value, device="auto", out="out")  # type: ignore[arg-type]  # whole, as was just seen
    elif key == "session":
        require(value is None or isinstance(value, str), key, value, "the name of a session")


def read_settings(config: DictConfig, like: Settings | None = None) -> Settings:
    """Check composed YAML and return it as typed settings.

    Args:
        config: as Hydra composed it.
        like: settings of another run; options that agree with its are taken over unread, which is quicker.

    Raises:
        SettingError: anything in it is misspelt, missing, of the wrong type or out of range.
    """
    node = plain_settings(config)
    for key in node:
        if key not in TOP_LEVEL and key not in GROUPS:
            raise SettingError(f"{key} is no setting", expected=closest(key, [*TOP_LEVEL, *GROUPS]))
    top = typed(TopLevel, {key: node[key] for key in TOP_LEVEL if key in node}, "")
    options = {
        group: getattr(like, group)
        if like is not None and like.values.get(group) == node.get(group)
        else read_group(node)
        for group, read_group in READERS.items()
    }
    return Settings(**vars(top), **options, key=settings_key(node), values=node)
