"""The records in a run's folder, read as untrusted data: what `result.json` and `failure.json` state, typed.

The bounds are those of `store.files`. Arrays are read by `store.arrays`, so that a mistake does not wait for NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.store import values
from openretina_cli.store.files import read_mapping, read_yaml
from openretina_cli.store.names import CONFIG, FAILURE, OVERRIDES, RESULT

COMPLETED, DIVERGED = "completed", "diverged"
MOST_CLUSTERS = 1_000
"""Clusters of neurons that an objective compares; a session has some dozen cell types."""

SHOWN = (
    *("status", "failure", "objective.initial", "objective.final", "iterations", "stop_reason", "stimulus.norm"),
    *("stimulus.range", "warnings", "wall_time_s", "device"),
)
"""Fields that `openretina optimize` shows of a run that is finished already."""


@dataclass(frozen=True)
class ChannelNumbers:
    """The numbers of one channel of a stimulus; None where not known."""

    low: float | None = None
    high: float | None = None
    explained_variance: float | None = None
    centre_frequency: float | None = None
    polarity: str | None = None
    centre_diameter: float | None = None
    centre_right: float | None = None
    centre_down: float | None = None
    surround: float | None = None
    peak: float | None = None
    previous_peak: float | None = None
    temporal_contrast: float | None = None


STATED = {
    "explained_variance": "explained_variance",
    "centre_frequency": "centre_frequency_hz",
    "centre_diameter": "centre_diameter_um",
    "centre_right": "centre_right_um",
    "centre_down": "centre_down_um",
    "surround": "surround_strength",
    "peak": "peak_s",
    "previous_peak": "previous_peak_s",
    "temporal_contrast": "temporal_contrast",
}
"""Names of numbers in the file; `analysis.description` has their definitions."""


def channel_numbers(described: Mapping[str, Any], low: float | None, high: float | None) -> ChannelNumbers:
    """The numbers of a channel, of which a file may have any, or others in their place."""
    polarity = values.text(described.get("polarity"))
    return ChannelNumbers(
        low=low,
        high=high,
        polarity=polarity if polarity in ("on", "off") else None,
        **{name: values.number(described.get(stated)) for name, stated in STATED.items()},
    )


def _stated(name: str, read: Callable[[object], Any], expected: str, default: object, nullable: bool = False) -> Any:
    """A field of the file: its name there, what reads it, and what it is where it does not fit, or may be null."""
    return field(metadata={"stated": (name, read, expected, default, nullable)})


def _text(name: str, nullable: bool = False) -> Any:
    return _stated(name, values.text, "a text", "", nullable)


def _texts(name: str) -> Any:
    return _stated(name, values.texts, "a list of texts", ())


def _number(name: str) -> Any:
    return _stated(name, values.measured, "a number", math.nan)


def _rate(name: str) -> Any:
    return _stated(name, values.rate, "a number from 0.001 to 1000, or null", None, nullable=True)


def _channels(value: object) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(values.texts(value) or ())) or None


@dataclass(frozen=True)
class Result:
    """What a finished run states of itself. A field that is missing or of another type is empty, NaN or None.

    Attributes:
        path: the file.
        tree: all of it, as plain values.
        flaws: by field name in the file, what is wrong with it and what was expected.
        clusters: name and neurons of what the objective compares, those that are to respond first.
        member_mean: of the scores on each member of an ensemble.
        member_sd: their standard deviation.
        natural: percent of natural clips that drive the model less, see `finding.natural`.
        natural_best: response to the best of them.
        natural_clips: how many there were.
        colour: angle in degrees, see `analysis.description`.
    """

    path: Path
    tree: Mapping[str, Any]
    flaws: Mapping[str, tuple[str, str]]
    seed: int | None
    quality: tuple[float | None, ...]
    numbers: Mapping[str, ChannelNumbers]
    versions: str
    clusters: tuple[tuple[str, tuple[int, ...]], ...]
    status: str = _text("status")
    failure: str = _text("failure", nullable=True)
    title: str = _text("title")
    objective: str = _text("objective.text")
    initial: float = _number("objective.initial")
    final: float = _number("objective.final")
    best: float = _number("objective.best")
    session: str = _text("session")
    neurons: tuple[int, ...] = _stated("neurons", values.counts, "a list of whole numbers from 0", ())
    traces: tuple[str, ...] = _texts("traces")
    cell_types: tuple[str, ...] = _texts("cell_types")
    iterations: int | None = _stated("iterations", values.count, "a whole number from 0", None)
    stop_reason: str = _text("stop_reason")
    norm: float = _number("stimulus.norm")
    constraints: tuple[str, ...] = _texts("constraints")
    warnings: tuple[str, ...] = _texts("warnings")
    lag: int = _stated("lag_frames", values.count, "a whole number from 0", 0)
    frame_rate: float | None = _rate("frame_rate_hz")
    pixel_size: float | None = _rate("pixel_size_um")
    window: tuple[int, int] | None = _stated(
        "window_response_frames", values.window, "two whole numbers from 0, or null", None, nullable=True
    )
    channels: tuple[str, ...] = _stated("channels", _channels, "a list of names", ())
    model: str = _text("model.name")
    source: str = _text("model.source")
    sha256: str = _text("model.sha256")
    note: str = _text("model.note")
    device: str = _text("device")
    wall_time: float = _number("wall_time_s")
    finished: str = _text("finished")
    settings: Mapping[str, Any] = _stated("settings", values.mapping, "the settings of the run", {})
    member_mean: float = _number("members.mean")
    member_sd: float = _number("members.sd")
    natural: float = _number("natural.percentile")
    natural_best: float = _number("natural.best")
    natural_clips: int | None = _stated("natural.clips", values.count, "a whole number from 0", None)
    colour: float = _number("colour.angle_deg")

    def need(self, *names: str) -> None:
        """Refuse a result of which a field is missing or of another type.

        Raises:
            ArtifactError: the first such field, with what it should be.
        """
        for name in names:
            if name in self.flaws:
                problem, expected = self.flaws[name]
                raise ArtifactError(f"{self.path} {problem}", expected=expected)

    @property
    def shown(self) -> dict[str, Any]:
        """All that the file holds, with NaN for null where a number of the closing table is not finite.

        Raises:
            ArtifactError: a field of the closing table is missing or of another type.
        """
        self.need(*SHOWN)
        ranges = self.tree["stimulus"]["range"]
        return {
            **self.tree,
            "objective": {**self.tree["objective"], "initial": self.initial, "final": self.final},
            "stimulus": {
                **self.tree["stimulus"],
                "norm": self.norm,
                "range": {name: list(map(values.measured, pair)) for name, pair in ranges.items()},
            },
            "wall_time_s": self.wall_time,
        }


def _taken(
    tree: Mapping[str, Any],
    flaws: dict[str, tuple[str, str]],
    name: str,
    read: Callable[[object], Any],
    expected: str,
    default: object,
    nullable: bool = False,
) -> Any:
    """Read one field, and note what is wrong with it."""
    owner = values.below(tree, name.rpartition(".")[0]) if "." in name else tree
    there = isinstance(owner, Mapping) and name.rpartition(".")[2] in owner
    value = values.below(tree, name)
    if nullable and there and value is None:
        return default
    found = read(value) if there else None  # null is a number that is not finite, a missing field is none
    if found is None:
        flaws[name] = (f"says {name}={value!r:.80}" if there else f"has no {name}", expected)
    return default if found is None else found


def _ranges(value: object) -> Mapping[str, tuple[float, float]] | None:
    """The limits of every channel."""
    if not isinstance(value, Mapping):
        return None
    found = {name: list(map(values.measured, pair)) if isinstance(pair, list) else [] for name, pair in value.items()}
    if not all(len(pair) == 2 and None not in pair for pair in found.values()):
        return None
    return {name: (pair[0], pair[1]) for name, pair in found.items() if pair[0] is not None and pair[1] is not None}


def _numbers(tree: Mapping[str, Any], channel: str) -> ChannelNumbers:
    stimulus, description = (values.mapping(tree.get(key)) or {} for key in ("stimulus", "description"))
    ranges, described = values.mapping(stimulus.get("range")) or {}, values.mapping(description.get(channel)) or {}
    limits = ranges.get(channel)
    low, high = map(values.number, limits) if isinstance(limits, list) and len(limits) == 2 else (None, None)
    return channel_numbers(described, low, high)


def _clusters(value: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Name and neurons of each cluster; none where one of them is something else."""
    pairs = [
        (values.text(values.below(item, "name")), values.counts(values.below(item, "neurons")))
        for item in _listed(value)
    ]
    sound = [(name, neurons) for name, neurons in pairs if name is not None and neurons]
    return tuple(sound) if len(sound) == len(pairs) <= MOST_CLUSTERS else ()


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def result_of_tree(tree: Mapping[str, Any], path: Path) -> Result:
    """The record of a finished run.

    Args:
        tree: what `result.json` holds.
        path: the file, for errors.
    """
    flaws: dict[str, tuple[str, str]] = {}
    stated = {item.name: _taken(tree, flaws, *item.metadata["stated"]) for item in fields(Result) if item.metadata}
    _taken(tree, flaws, "stimulus.range", _ranges, "two numbers per channel", None)
    versions = values.mapping(tree.get("versions")) or {}
    return Result(
        path=path,
        tree=tree,
        flaws=flaws,
        seed=values.integer(tree.get("seed")),
        quality=values.numbers(tree.get("quality")) or (),
        numbers={channel: _numbers(tree, channel) for channel in stated["channels"]},
        clusters=_clusters(tree.get("clusters")),
        versions=values.text(", ".join(f"{name} {value!s:.40}" for name, value in versions.items())) or "",
        **stated,
    )


@dataclass(frozen=True)
class Failure:
    """What a failed run states of itself. A field that is missing or of another type is empty or None."""

    error: str
    session: str
    neurons: tuple[int, ...]
    seed: int | None
    finished: str
    settings: Mapping[str, Any]


def failure_of_tree(tree: Mapping[str, Any]) -> Failure:
    """The record of a failed run.

    Args:
        tree: what `failure.json` holds.
    """
    single = values.count(tree.get("neuron"))
    several = values.counts(tree.get("neurons")) or values.counts(tree.get("neuron")) or ()
    return Failure(
        error=values.text(tree.get("error")) or values.text(tree.get("failure")) or "no reason was given",
        session=values.text(tree.get("session")) or "",
        neurons=several if single is None else (single,),
        seed=values.integer(tree.get("seed")),
        finished=values.text(tree.get("finished")) or "",
        settings=values.mapping(tree.get("settings")) or {},
    )


def read_result(folder: Path) -> Result:
    """The record of the finished run in a folder.

    Raises:
        ArtifactError: its result cannot be read, or holds no mapping.
    """
    return result_of_tree(read_mapping(folder / RESULT), folder / RESULT)


def read_failure(folder: Path) -> Failure:
    """The record of the failed run in a folder.

    Raises:
        ArtifactError: it cannot be read, or holds no mapping.
    """
    return failure_of_tree(read_mapping(folder / FAILURE))


def read_config(folder: Path) -> Mapping[str, Any]:
    """Hydra's record of a run's settings, in which `${...}` is not resolved; empty where it cannot be read."""
    try:
        tree = read_yaml(folder / CONFIG, folder)
    except ArtifactError:
        return {}
    return tree if isinstance(tree, Mapping) else {}


def read_overrides(folder: Path) -> list[str] | None:
    """Hydra's record of the overrides that a run was made with; None where it cannot be read."""
    try:
        tree = read_yaml(folder / OVERRIDES, folder)
    except ArtifactError:
        return None
    return [str(item) for item in tree] if isinstance(tree, list) else None
