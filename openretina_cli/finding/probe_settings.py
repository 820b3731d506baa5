"""The settings of `openretina probe`, composed as those of a run are, and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from openretina_cli.checks import closest, neuron_choice, require, spelt
from openretina_cli.config.compose import compose, is_sweep, read_arguments
from openretina_cli.config.overrides import read_overrides
from openretina_cli.config.settings import DEVICE, plain, without_hydra
from openretina_cli.config.target import Option, build, construct, read_option
from openretina_cli.errors import SettingError
from openretina_cli.probe.base import Probe
from openretina_cli.store.names import is_plain

CONFIG = "probe"
REPAIR = "probe=[chirp,bars]"
CENTRE = "centre"
"""Name of what finds receptive fields."""


@dataclass(kw_only=True)
class _Main:
    """The plain settings, see `configs/probe.yaml`."""

    session: str | None
    neuron: Any
    group: int | None
    amplitude: list[float] | float | None
    seed: int
    runs: str | None
    figures: bool
    device: str
    out: str
    overwrite: bool

    def __post_init__(self) -> None:
        """Check the values."""
        self.neuron = neuron_choice("neuron", self.neuron)
        values = self.amplitude if isinstance(self.amplitude, list) else [self.amplitude]
        sound = bool(values) and all(value is None or (0 < value < math.inf) for value in values)
        require(sound, "amplitude", self.amplitude, "a positive number, one for all channels or a list of one for each")
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        require(DEVICE.fullmatch(self.device) is not None, "device", self.device, "auto, cpu, cuda, cuda:0 or mps")
        require(self.out.strip() != "", "out", self.out, "a folder")


@dataclass(kw_only=True)
class ProbeSettings(_Main):
    """All settings, checked.

    Attributes:
        model: which model.
        probe: the probes by name, in the order chosen.
        values: the settings as they were composed, as plain containers.
    """

    model: Option
    probe: Mapping[str, Option]
    values: Mapping[str, Any] = field(default_factory=dict)


PLAIN = tuple(item.name for item in fields(_Main))
TOP_LEVEL = ("model", "probe", *PLAIN)


def _check_names(words: Sequence[str]) -> None:
    """Refuse a word whose setting is none.

    Raises:
        SettingError: there is such a word.
    """
    for word in words:
        name = word.lstrip("+~").partition("=")[0]
        if not word.startswith("-") and name.partition("@")[0].partition(".")[0] not in (*TOP_LEVEL, "hydra"):
            raise SettingError(f"probe has no setting {name}", expected=closest(name, TOP_LEVEL))


def compose_probe(words: Sequence[str]) -> ProbeSettings:
    """The settings that the words of a command line lead to.

    Args:
        words: overrides, and `--config-dir` for probes of the user's own.

    Raises:
        SettingError: a setting is misspelt, missing, of the wrong type or out of range.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    after = {number + 1 for number, word in enumerate(words) if word in ("--config-dir", "-cd")}
    _check_names([word for number, word in enumerate(words) if number not in after])
    args, _ = read_arguments(["--config-name", CONFIG, *words])
    if is_sweep(args):
        raise SettingError("probe makes no sweep of runs", expected="one run for several neurons", repair="neuron=all")
    read_overrides(args.overrides, sweeps=False)
    return read_probe(plain(without_hydra(compose(args, args.overrides)), resolve=True))


def read_probe(node: Mapping[str, Any]) -> ProbeSettings:
    """Check composed settings.

    Raises:
        SettingError: one is misspelt, missing, of the wrong type or out of range.
    """
    for name in node:
        if name not in TOP_LEVEL:
            raise SettingError(f"{name} is no setting", expected=closest(name, TOP_LEVEL))
    main = construct(_Main, {name: node[name] for name in PLAIN if name in node}, "")
    chosen = node.get("probe")
    if not isinstance(chosen, Mapping) or not chosen:
        raise SettingError(f"probe={spelt(chosen)}", expected="a list of probes", repair=REPAIR)
    for name, option in chosen.items():
        if not isinstance(option, Mapping) or "_target_" not in option:
            raise SettingError(f"probe.{name} has settings, but is not chosen", repair=f"{name} in probe=[...]")
        if not is_plain(str(name)) or name == CENTRE:
            raise SettingError(f"probe.{name} is no name of a probe", expected=f"letters and digits, but not {CENTRE}")
    probes = {str(name): read_option("probe", option, f"probe.{name}.") for name, option in chosen.items()}
    model = read_option("model", node.get("model"), "model.")
    return ProbeSettings(**vars(main), model=model, probe=probes, values=node)


def build_probes(settings: ProbeSettings) -> dict[str, Probe]:
    """The probes, by name.

    Raises:
        SettingError: a setting of one is out of range.
        RunError: a class of the user's could not be imported, or raised.
    """
    return {name: build(option, Probe, {}) for name, option in settings.probe.items()}
