"""The settings of an export, composed as those of a run are, and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from openretina_cli.checks import closest, positive, require
from openretina_cli.config.compose import compose, read_arguments
from openretina_cli.config.overrides import read_overrides
from openretina_cli.config.settings import DEVICE, plain, without_hydra
from openretina_cli.config.target import Option, construct, read_option
from openretina_cli.errors import SettingError

PREFIX = "export."
TOP_LEVEL = ("format", "out", "overwrite", "device", "export", "hydra")
Values = list[float] | float | None
KINDS = ("shuffle", "reversed", "natural")


@dataclass(kw_only=True)
class GreySettings:
    """How values become levels, see `configs/export.yaml`."""

    mean: list[float] | float | None
    sd: list[float] | float | None
    lut: str | None
    colors: list[str] | None

    def __post_init__(self) -> None:
        """Check the values."""
        if (self.mean is None) != (self.sd is None):
            given, other = ("mean", "sd") if self.sd is None else ("sd", "mean")
            raise SettingError(f"{other} is missing beside {PREFIX}grey.{given}", repair=f"{PREFIX}grey.{other}=[..]")
        for name, low in (("mean", 0.0), ("sd", 1e-6)):
            for value in values_of(getattr(self, name)):
                fits = math.isfinite(value) and low <= value <= 255
                require(fits, name, value, "grey levels from 0 to 255" if low == 0 else "grey levels above 0, to 255")
        if (values_of(self.mean), values_of(self.sd)) in (((0.0,), (1.0,)), ((0.0, 0.0), (1.0, 1.0))):
            raise SettingError(f"mean={self.mean} and sd={self.sd} are no grey levels", expected="those of the movies")
        for letters in self.colors or ():
            fits = bool(letters) and set(letters) <= set("RGB")
            require(fits, "colors", self.colors, "R, G or B, or several letters such as RGB, for each channel")


@dataclass(kw_only=True)
class GeometrySettings:
    """How stimulus pixels become device pixels."""

    um_per_pixel: float | None
    factor: int | Literal["fit"] | None
    size: list[int] | None
    rotate: Literal[0, 90, 180, 270]
    flip: Literal["none", "horizontal", "vertical"]

    def __post_init__(self) -> None:
        """Check the values."""
        positive("um_per_pixel", self.um_per_pixel)
        if isinstance(self.factor, int):
            require(1 <= self.factor <= 4096, "factor", self.factor, "1 to 4096, or fit")
        if self.factor is not None and self.um_per_pixel is not None:
            raise SettingError(f"factor={self.factor} and um_per_pixel={self.um_per_pixel:g} contradict")
        fits = self.size is None or (len(self.size) == 2 and all(1 <= edge <= 65_535 for edge in self.size))
        require(fits, "size", self.size, "height and width in pixels, such as [768,1024]")


@dataclass(kw_only=True)
class TimeSettings:
    """How frames of a stimulus become frames of the device."""

    rate: float | None
    model_rate: float | None
    before_s: float
    after_s: float
    interval_s: float
    adaptation_s: float

    def __post_init__(self) -> None:
        """Check the values."""
        positive("rate", self.rate)
        positive("model_rate", self.model_rate)
        for name in ("before_s", "after_s", "interval_s", "adaptation_s"):
            value = getattr(self, name)
            require(0 <= value <= 86_400, name, value, "seconds from 0, at most a day")


@dataclass(kw_only=True)
class ProtocolSettings:
    """What is shown in which order."""

    repeats: int
    blocks: int
    order: Literal["random", "sequential", "latin"]
    seed: int
    controls: list[str]
    movie: str | None
    positions: list[list[float]] | str
    trigger_frames: int

    def __post_init__(self) -> None:
        """Check the values."""
        require(1 <= self.repeats <= 100_000, "repeats", self.repeats, "1 or more")
        fits = self.blocks >= 1 and self.repeats % self.blocks == 0
        require(fits, "blocks", self.blocks, f"a divisor of repeats, which is {self.repeats}")
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0")
        fits = set(self.controls) <= set(KINDS) and len(set(self.controls)) == len(self.controls)
        require(fits, "controls", self.controls, "any of " + ", ".join(KINDS))
        require(self.trigger_frames >= 0, "trigger_frames", self.trigger_frames, "0 or more")
        if "natural" in self.controls and self.movie is None:
            raise SettingError("movie is missing for the control natural", repair=f"{PREFIX}protocol.movie=FILE.npy")
        if isinstance(self.positions, str):
            require(self.positions in ("center", "cells"), "positions", self.positions, "center, cells, or [[x,y],...]")
        elif not all(len(pair) == 2 and all(map(math.isfinite, pair)) for pair in self.positions):
            raise SettingError(f"positions={self.positions}", expected="a pair [x,y] in um for each run")


@dataclass(kw_only=True)
class ExportSettings:
    """All settings of an export, checked; see `configs/export.yaml`.

    Attributes:
        format: the option that writes.
        out: the folder.
        overwrite: whether an earlier export there is replaced.
        device: where the twin is asked.
        values: the settings as they were composed, as plain containers.
    """

    format: Option
    out: str
    overwrite: bool
    device: str
    values: Mapping[str, Any]
    gamut: Literal["refuse", "clip", "scale"]
    gamut_tolerance: float
    ask: bool
    tolerance: float
    preview: bool
    grey: GreySettings
    geometry: GeometrySettings
    time: TimeSettings
    protocol: ProtocolSettings

    def __post_init__(self) -> None:
        """Check the values."""
        require(0 <= self.gamut_tolerance <= 1, "gamut_tolerance", self.gamut_tolerance, "a share from 0 to 1")
        require(0 <= self.tolerance <= 1, "tolerance", self.tolerance, "a share from 0 to 1")


SECTIONS = {
    "grey": GreySettings,
    "geometry": GeometrySettings,
    "time": TimeSettings,
    "protocol": ProtocolSettings,
}


def values_of(value: Values) -> tuple[float, ...]:
    """One number or several as a tuple; empty for None."""
    return () if value is None else tuple(value) if isinstance(value, list) else (value,)


def _check_names(words: Sequence[str], formats: Sequence[str]) -> None:
    """Refuse a word whose setting is none, and a command line without `format=` or `out=`.

    Raises:
        SettingError: there is such a word, or none of those.
    """
    named = [word.lstrip("+~").partition("=")[0] for word in words if not word.startswith("-")]
    for name in named:
        group = name.partition(".")[0]
        if group not in TOP_LEVEL:
            raise SettingError(f"export has no setting {name}", expected=closest(group, TOP_LEVEL[:-1]))
    if "format" not in named:
        raise SettingError("export needs a format", expected="one of " + ", ".join(formats), repair="format=qdspy")
    if "out" not in named:
        raise SettingError("export needs a folder to write into", repair="out=FOLDER")


def compose_export(words: Sequence[str], formats: Sequence[str]) -> ExportSettings:
    """The settings that the words of a command line lead to.

    Args:
        words: overrides, and `--config-dir` for formats of the user's own.
        formats: names of the formats, for errors.

    Raises:
        SettingError: a setting is misspelt, missing, of the wrong type or out of range.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    _check_names(words, formats)
    args, _ = read_arguments(["--config-name", "export", *words])
    read_overrides(args.overrides, sweeps=False)
    node = plain(without_hydra(compose(args, args.overrides)), resolve=True)
    return read_export(node)


def read_export(node: Mapping[str, Any]) -> ExportSettings:
    """Check composed settings.

    Raises:
        SettingError: one is misspelt, missing, of the wrong type or out of range.
    """
    export = node.get("export")
    if not isinstance(export, Mapping):
        raise SettingError("export is no mapping", expected="settings such as export.gamut=clip")
    for name in SECTIONS:
        require(isinstance(export.get(name), Mapping), f"{PREFIX}{name}", export.get(name), "settings")
    option = read_option("format", node.get("format"), "format.")
    parts: dict[str, Any] = {
        name: construct(section, export[name], f"{PREFIX}{name}.") for name, section in SECTIONS.items()
    }
    top = {key: node[key] for key in ("out", "overwrite", "device")}
    require(isinstance(top["overwrite"], bool), "overwrite", top["overwrite"], "true or false")
    for key, fits in (("out", str(top["out"] or "").strip()), ("device", DEVICE.fullmatch(str(top["device"])))):
        require(bool(fits), key, top[key], "a folder" if key == "out" else "auto, cpu, cuda, cuda:0 or mps")
        top[key] = str(top[key])
    own = {key: value for key, value in export.items() if key not in SECTIONS}
    return construct(ExportSettings, own, PREFIX, {"format": option, "values": node, **top, **parts})
