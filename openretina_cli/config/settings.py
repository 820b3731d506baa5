"""From composed YAML to typed, checked settings; every mistake is one sentence with its repair."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, InterpolationResolutionError, OmegaConfBaseException, ValidationError

from openretina_cli.config.options import KINDS, LISTS, Noise, Optimizer, Option, Output, UserClass
from openretina_cli.config.values import NeuronChoice, neuron_choice, one_of, require
from openretina_cli.errors import SettingError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
TARGET = "_target_"
PLACE = ("out", "overwrite", "device")
"""Settings that say where a run happens, not what it computes; they are no part of a run's identity."""

YAML_WORDS = {True: "on", False: "off"}
"""YAML reads the bare keys `on` and `off` as truth values; here they are the clusters of an objective."""

T = TypeVar("T")


@dataclass
class TopLevel:
    """The plain settings above the groups."""

    session: str | None = None
    neuron: Any = MISSING
    seed: int = MISSING
    device: str = MISSING
    out: str = MISSING
    overwrite: bool = False
    keep: str = "last"

    def __post_init__(self) -> None:
        """Check the values."""
        one_of("keep", self.keep, ("last", "best"))
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        require(DEVICE.fullmatch(self.device) is not None, "device", self.device, "auto, cpu, cuda, cuda:0 or mps")
        self.neuron = neuron_choice("neuron", self.neuron)


@dataclass
class Settings:
    """All settings of one run, checked.

    Attributes:
        session: the session (`data_key`); None means the checkpoint's first.
        neuron: a neuron, several for a joint stimulus, or "all".
        seed: of the start.
        device: auto, cpu, cuda, cuda:N or mps.
        out: the run's folder.
        overwrite: whether a finished run there is replaced.
        keep: whether the last or the best stimulus is kept.
        constraint: by name, in the order they are applied.
        penalty: by name.
        key: hex digest of everything that shapes the result, the same for equal runs.
    """

    session: str | None
    neuron: NeuronChoice
    seed: int
    device: str
    out: str
    overwrite: bool
    keep: str
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


def closest(name: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt name: the closest known one, and all of them."""
    names = list(known)
    match = difflib.get_close_matches(name, names, n=1)
    return (f"{match[0]} (did you mean that?), or " if match else "") + "one of " + ", ".join(names)


def _type_name(annotation: object) -> str:
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "str": "text",
        "list[int]": "a list of whole numbers",
        "list[list[int]]": "a list of lists of whole numbers",
        "list[str]": "a list of names",
    }
    kind, _, optional = str(annotation).partition(" | ")
    return names.get(kind, kind) + (" or null" if optional else "")


def _bad_value(cls: type, node: Mapping[str, Any], error: OmegaConfBaseException) -> tuple[str, str]:
    """What a validation error is about: `key=value`, and what was expected there."""
    key = str(error.full_key or "").split(".")[0].split("[")[0]
    annotations = {field.name: field.type for field in fields(cls)}
    return f"{key}={node.get(key)}", _type_name(annotations.get(key, "another type"))


def typed(cls: type[T], node: Mapping[str, Any], prefix: str) -> T:
    """Check a mapping against a dataclass and build it.

    Raises:
        SettingError: a key is unknown or missing, or a value has the wrong type or does not pass its check.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is a dataclass
    node = {YAML_WORDS[key] if isinstance(key, bool) else key: value for key, value in node.items()}
    for key in node:
        if key not in names:
            raise SettingError(f"{prefix}{key} is no setting", expected=closest(str(key), names))
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), node)
        missing = OmegaConf.missing_keys(merged)
        for absent in (field for field in fields(cls) if field.name in missing):  # type: ignore[arg-type]  # likewise
            example = absent.metadata.get("example", "VALUE")
            raise SettingError(f"{prefix}{absent.name} is missing", repair=f"{prefix}{absent.name}={example}")
        built = OmegaConf.to_object(merged)
    except SettingError as error:
        mended = error.problem if error.problem.startswith(prefix) else prefix + error.problem
        raise SettingError(mended, expected=error.expected, repair=error.repair) from error
    except (ValidationError, ConfigKeyError) as error:
        problem, expected = _bad_value(cls, node, error)
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
        raise SettingError(f"{prefix.rstrip('.')}={node} is no option", expected="one of " + ", ".join(kinds))
    if TARGET in node:
        arguments = {key: value for key, value in node.items() if key not in (TARGET, "kind")}
        if not isinstance(node[TARGET], str) or node[TARGET] == MISSING:
            raise SettingError(f"{prefix}{TARGET} is missing", repair=f"{prefix}{TARGET}=my_module.MyClass")
        return UserClass("custom", node[TARGET], arguments)
    kind = node.get("kind")
    if kind is None:
        name = prefix.rstrip(".")
        raise SettingError(f"{name} has settings, but is not chosen", repair=f"its name in {group}=[...], or no {name}")
    if kind not in kinds or kind == "custom":
        raise SettingError(f"{prefix}kind={kind}", expected="one of " + ", ".join(kinds))
    return typed(kinds[kind], node, prefix)


def _read_many(group: str, node: object) -> dict[str, Option]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise SettingError(f"{group}={node}", expected=f"a list of options, such as {group}=[range]")
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
        raise SettingError(f"{group}={found} is no option")
    return found


def _plain(config: DictConfig) -> dict[str, Any]:
    """The composed settings as plain containers, interpolations resolved."""
    try:
        node = OmegaConf.to_container(config, resolve=True)
    except InterpolationResolutionError as error:
        raise SettingError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(node, dict)  # noqa: S101  # a DictConfig's container, for the type checker
    return {str(key): value for key, value in node.items() if key != "hydra"}


def settings_key(node: Mapping[str, Any]) -> str:
    """Hex digest of the settings that shape a result."""
    shaping = {key: value for key, value in node.items() if key not in PLACE}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True, default=str).encode()).hexdigest()


def read_settings(config: DictConfig) -> Settings:
    """Check composed YAML and return it as typed settings.

    Raises:
        SettingError: anything in it is misspelt, missing, of the wrong type or out of range.
    """
    node = _plain(config)
    plain_names = [field.name for field in fields(TopLevel)]
    groups = [*KINDS, "optimizer", "stimulus", "output"]
    for key in node:
        if key not in plain_names and key not in groups:
            raise SettingError(f"{key} is no setting", expected=closest(key, [*plain_names, *groups]))
    top = typed(TopLevel, {key: node[key] for key in plain_names if key in node}, "")
    one = {group: read_option(group, node.get(group), f"{group}.") for group in KINDS if group not in LISTS}
    many = {group: _read_many(group, node.get(group)) for group in LISTS}
    return Settings(
        **vars(top),
        model=one["model"],
        objective=one["objective"],
        reducer=one["reducer"],
        constraint=many["constraint"],
        penalty=many["penalty"],
        optimizer=_read_optimizer(node.get("optimizer")),
        stopper=one["stopper"],
        stimulus=typed(Noise, _mapping("stimulus", node), "stimulus."),
        output=typed(Output, _mapping("output", node), "output."),
        key=settings_key(node),
    )
