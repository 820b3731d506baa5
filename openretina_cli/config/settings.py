"""From composed YAML to checked settings; every mistake is one sentence with its repair."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from openretina_cli.checks import closest, neuron_choice, require, spelt
from openretina_cli.config.target import MISSING, Option, construct, read_option
from openretina_cli.errors import SettingError
from openretina_cli.store.identity import settings_key

Composed = DictConfig
"""Settings as Hydra composed them; the node `hydra` holds Hydra's own."""

OBJECTIVES = ("neuron", "group")
"""Settings at the top level that an objective may state otherwise for itself."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
ONES = ("stimulus", "model", "objective", "reducer", "stopper", "optimizer")
"""Groups of which one option is chosen. The stimulus is read first: other settings refer to its norm."""
LISTS = ("constraint", "gradient", "penalty", "output")
"""Groups of which several options can be chosen; they are applied in the order chosen."""
GROUPS = (*ONES, *LISTS)
REPLACED = {
    "output.dpi": "output.figure.dpi",
    "output.figure": "output.figure.formats",
    "output.video_scale": "output.video.scale",
}
"""Settings as version 0.1 spelt them, each with what replaced it."""
MOST_STARTS = 100
"""Starts of one run at most; all of them are one stack."""


@dataclass(kw_only=True)
class TopLevel:
    """The plain settings above the groups.

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
        restarts: random starts, of which the best is kept.
    """

    session: str | None = None
    neuron: Any
    group: int | None = None
    seed: int
    device: str
    out: str
    overwrite: bool = False
    keep: Literal["last", "best"] = "last"
    tf32: bool = False
    fail_fast: bool = False
    restarts: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        require(1 <= self.restarts <= MOST_STARTS, "restarts", self.restarts, f"1 to {MOST_STARTS}")
        require(DEVICE.fullmatch(self.device) is not None, "device", self.device, "auto, cpu, cuda, cuda:0 or mps")
        require(self.out.strip() != "", "out", self.out, "a folder")
        self.neuron = neuron_choice("neuron", self.neuron)


TOP_LEVEL = tuple(item.name for item in fields(TopLevel))


@dataclass(kw_only=True)
class Settings(TopLevel):
    """All settings of one run, checked.

    Attributes:
        constraint: by name, in the order they are applied.
        gradient: by name, in the order they are applied.
        penalty: by name.
        output: by name.
        key: hex digest of everything that shapes the result, the same for equal runs.
        values: the settings as they were composed, as plain containers.
    """

    model: Option
    objective: Option
    reducer: Option
    constraint: dict[str, Option]
    gradient: dict[str, Option]
    penalty: dict[str, Option]
    output: dict[str, Option]
    optimizer: Option
    stopper: Option
    stimulus: Option
    key: str
    values: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """Length of the stimulus, which every option of the group `stimulus` has as a setting.

        Raises:
            SettingError: it has not, or the length is no number of frames.
        """
        frames = self.stimulus.arguments.get("frames")
        whole = isinstance(frames, int) and not isinstance(frames, bool) and frames >= 1
        require(whole, "stimulus.frames", frames, "1 or more")
        return int(frames or 0)


def current(text: str) -> str:
    """An override as it is spelt now; `output.figure=[pdf]` of version 0.1 is `output.figure.formats=[pdf]`."""
    key, equals, value = text.partition("=")
    return f"{REPLACED[key]}={value}" if equals and key in REPLACED else text


def _read_many(group: str, node: object) -> dict[str, Option]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise SettingError(f"{group}={spelt(node)}", expected=f"a list of options, such as {group}=[NAME]")
    for name, option in node.items():
        chosen = f"{group}.{name}"
        if chosen in REPLACED and not isinstance(option, Mapping):
            _refuse_replaced(chosen, option)
        if isinstance(option, bool):
            others = [other for other, settings in node.items() if isinstance(settings, Mapping) or settings is True]
            raise SettingError(f"{chosen}={spelt(option)} chooses nothing", repair=f"{group}=[{','.join(others)}]")
        if isinstance(option, Mapping) and not {"_target_", "kind"}.intersection(option):
            raise SettingError(
                f"{chosen} has settings, but is not chosen", repair=f"its name in {group}=[...], or no {chosen}"
            )
    return {str(name): read_option(group, option, f"{group}.{name}.") for name, option in node.items()}


def _refuse_replaced(name: str, value: object) -> NoReturn:
    new = REPLACED[name]
    raise SettingError(f"{name} is of version 0.1, and was replaced by {new}", repair=f"{new}={spelt(value)}")


def _read_group(group: str, node: Mapping[str, Any]) -> Any:
    if group in LISTS:
        return _read_many(group, node.get(group))
    return read_option(group, node.get(group), f"{group}.")


def without_hydra(config: Composed) -> Composed:
    """The settings without Hydra's own."""
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(bare, DictConfig)  # noqa: S101  # what masked_copy returns, for the type checker
    return bare


def plain(node: Composed, *, resolve: bool) -> Any:
    """A node as plain containers, with interpolations resolved or as they are written."""
    return OmegaConf.to_container(node, resolve=resolve)


def yaml_text(config: Composed) -> str:
    """The settings as YAML, interpolations as they are written."""
    return OmegaConf.to_yaml(config)


def plain_settings(config: Composed) -> dict[str, Any]:
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
        construct(TopLevel, {"neuron": 0, "seed": value, "device": "auto", "out": "out"}, "")
    elif key == "session":
        require(value is None or isinstance(value, str), key, value, "the name of a session")


def read_settings(config: Composed, like: Settings | None = None) -> Settings:
    """Check composed YAML and return it as typed settings.

    Args:
        config: as Hydra composed it.
        like: settings of another run; options that agree with its are taken over unread, which is quicker.

    Raises:
        SettingError: a setting is misspelt, missing or of the wrong type, or a plain one out of range.
    """
    node = plain_settings(config)
    for key in node:
        if key not in TOP_LEVEL and key not in GROUPS:
            raise SettingError(f"{key} is no setting", expected=closest(key, [*TOP_LEVEL, *GROUPS]))
    top = construct(TopLevel, {key: node[key] for key in TOP_LEVEL if key in node}, "")
    options = {
        group: getattr(like, group)
        if like is not None and like.values.get(group) == node.get(group)
        else _read_group(group, node)
        for group in GROUPS
    }
    return Settings(**vars(top), **options, key=settings_key(node), values=node)


def settings_of_values(values: Mapping[str, Any]) -> Settings:
    """Check plain values, such as the settings that a result states, and return them as typed settings.

    Raises:
        SettingError: a setting is misspelt, missing or of the wrong type, or a plain one out of range.
        Exception: an error of OmegaConf's about a value that no setting can have.
    """
    return read_settings(OmegaConf.create(dict(values)))
