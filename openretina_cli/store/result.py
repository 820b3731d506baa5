"""The record of a finished run, and of a failed one: every value that `result.json` and `failure.json` state, typed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from openretina_cli.errors import ArtifactError
from openretina_cli.store import values

T = TypeVar("T")

COMPLETED, DIVERGED = "completed", "diverged"

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


@dataclass(frozen=True)
class Result:
    """What a finished run states of itself. A field that is missing or of another type is empty, NaN or None.

    Attributes:
        path: the file.
        tree: all of it, as plain values.
        flaws: by field name in the file, what is wrong with it and what was expected.
    """

    path: Path
    tree: Mapping[str, Any]
    flaws: Mapping[str, tuple[str, str]]
    status: str
    failure: str
    title: str
    objective: str
    initial: float
    final: float
    best: float
    session: str
    neurons: tuple[int, ...]
    cell_types: tuple[str, ...]
    quality: tuple[float | None, ...]
    seed: int | None
    iterations: int | None
    stop_reason: str
    norm: float
    numbers: Mapping[str, ChannelNumbers]
    constraints: tuple[str, ...]
    warnings: tuple[str, ...]
    lag: int
    frame_rate: float | None
    pixel_size: float | None
    window: tuple[int, int] | None
    channels: tuple[str, ...]
    model: str
    source: str
    sha256: str
    note: str
    device: str
    wall_time: float
    finished: str
    settings: Mapping[str, Any]
    versions: str

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


@dataclass
class _Fields:
    """Reads fields of a tree one by one, and notes what is wrong with each."""

    tree: Mapping[str, Any]
    flaws: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, name: str, read: Callable[[object], T | None], expected: str, default: T) -> T:
        owner = values.below(self.tree, name.rpartition(".")[0]) if "." in name else self.tree
        there = isinstance(owner, Mapping) and name.rpartition(".")[2] in owner
        value = values.below(self.tree, name)
        found = read(value) if there else None  # null is a number that is not finite, a missing field is none
        if found is None:
            self.flaws[name] = (f"says {name}={value!r:.80}" if there else f"has no {name}", expected)
        return default if found is None else found

    def null(self, name: str) -> bool:
        """Whether a field is there and null."""
        return name in self.tree and self.tree[name] is None

    def text(self, name: str) -> str:
        return self.take(name, values.text, "a text", "")

    def texts(self, name: str) -> tuple[str, ...]:
        return self.take(name, values.texts, "a list of texts", ())

    def number(self, name: str) -> float:
        return self.take(name, values.measured, "a number", math.nan)

    def rate(self, name: str) -> float | None:
        if self.null(name):
            return None
        found = self.take(name, values.rate, "a number from 0.001 to 1000, or null", math.nan)
        return None if math.isnan(found) else found

    def window(self, name: str) -> tuple[int, int] | None:
        if self.null(name):
            return None
        found = self.take(name, values.window, "two whole numbers from 0, or null", (0, 0))
        return None if name in self.flaws else found


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
    polarity = values.text(described.get("polarity"))
    return ChannelNumbers(
        low=low,
        high=high,
        explained_variance=values.number(described.get("explained_variance")),
        centre_frequency=values.number(described.get("centre_frequency_hz")),
        polarity=polarity if polarity in ("on", "off") else None,
    )


def result_of_tree(tree: Mapping[str, Any], path: Path) -> Result:
    """The record of a finished run.

    Args:
        tree: what `result.json` holds.
        path: the file, for errors.
    """
    fields = _Fields(tree)
    nothing: tuple[str, ...] = ()
    channels = tuple(dict.fromkeys(fields.take("channels", _channels, "a list of names", nothing)))
    fields.take("stimulus.range", _ranges, "two numbers per channel", None)
    versions = values.mapping(tree.get("versions")) or {}
    return Result(
        path=path,
        tree=tree,
        flaws=fields.flaws,
        status=fields.text("status"),
        failure="" if fields.null("failure") else fields.text("failure"),
        title=fields.text("title"),
        objective=fields.text("objective.text"),
        initial=fields.number("objective.initial"),
        final=fields.number("objective.final"),
        best=fields.number("objective.best"),
        session=fields.text("session"),
        neurons=fields.take("neurons", values.counts, "a list of whole numbers from 0", ()),
        cell_types=fields.texts("cell_types"),
        quality=values.numbers(tree.get("quality")) or (),
        seed=values.integer(tree.get("seed")),
        iterations=fields.take("iterations", values.count, "a whole number from 0", None),
        stop_reason=fields.text("stop_reason"),
        norm=fields.number("stimulus.norm"),
        numbers={channel: _numbers(tree, channel) for channel in channels},
        constraints=fields.texts("constraints"),
        warnings=fields.texts("warnings"),
        lag=fields.take("lag_frames", values.count, "a whole number from 0", 0),
        frame_rate=fields.rate("frame_rate_hz"),
        pixel_size=fields.rate("pixel_size_um"),
        window=fields.window("window_response_frames"),
        channels=channels,
        model=fields.text("model.name"),
        source=fields.text("model.source"),
        sha256=fields.text("model.sha256"),
        note=fields.text("model.note"),
        device=fields.text("device"),
        wall_time=fields.number("wall_time_s"),
        finished=fields.text("finished"),
        settings=fields.take("settings", values.mapping, "the settings of the run", {}),
        versions=values.text(", ".join(f"{name} {value!s:.40}" for name, value in versions.items())) or "",
    )


def _channels(value: object) -> tuple[str, ...] | None:
    return values.texts(value) or None


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
