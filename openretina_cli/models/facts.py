"""What is known about a model without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openretina_cli.checks import positive, range_pairs, require
from openretina_cli.errors import ModelError, SettingError
from openretina_cli.text import is_text


@dataclass(frozen=True)
class ModelFacts:
    """The facts that the rest of the tool needs about a model; nothing downstream assumes any of them.

    Attributes:
        name: what the model is called in tables and results.
        sessions: number of neurons by session (`data_key`), in the checkpoint's order.
        channels: colour channel names, in the order of the stimulus' channel axis.
        height: stimulus height in pixels.
        width: stimulus width in pixels.
        lag: stimulus frames that the model drops at the start; response frame r belongs to stimulus frame
            `lag + response_stride * r`.
        frame_rate: frames per second (Hz); None when the model's stimulus is a static image.
        pixel_size: edge of a pixel on the retina in um, or None when unknown.
        stimulus_range: lowest and highest useful value per channel in units of the training set's standard
            deviation, or None when unknown.
        groups: cell-type group of every neuron by session, where the checkpoint has them.
        group_names: what the groups are called.
        source: path or URL of the checkpoint, or the import path of a module.
        grey_levels: mean and standard deviation of the training movies' grey levels, one for all channels, or None
            when unknown.
        quality: performance of every neuron on the test set by session, where the checkpoint has it; None for a neuron
            without one.
        quality_metric: what the quality is measured by.
        min_quality: quality that a neuron needs to be one of `all` neurons of its session; None means no such limit.
        species: the animal, or "" when unknown.
        members: number of networks whose responses are averaged.
        sha256: hex digest over the checkpoint's files, or for a module of the user's over the weights that it holds.
        note: a sentence every user must see, such as that the model is a simulation.
        response_stride: stimulus frames from one response frame to the next.
    """

    name: str
    sessions: Mapping[str, int]
    channels: tuple[str, ...]
    height: int
    width: int
    lag: int
    frame_rate: float | None
    pixel_size: float | None = None
    stimulus_range: tuple[tuple[float | None, float | None], ...] | None = None
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    group_names: Mapping[int, str] = field(default_factory=dict)
    grey_levels: tuple[float, float] | None = None
    quality: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    quality_metric: str = ""
    min_quality: float | None = None
    species: str = ""
    members: int = 1
    source: str = ""
    sha256: str = ""
    note: str = ""
    response_stride: int = 1

    def response_frames(self, frames: int) -> int:
        """Response frames to a stimulus of `frames` frames; below 1 where the stimulus is too short."""
        return -((self.lag - frames) // self.response_stride)

    def neurons_of(self, session: str) -> Sequence[int]:
        """The neurons of a session that `neuron=all` means: those whose quality reaches `min_quality`.

        Raises:
            SettingError: `min_quality` is set, and the checkpoint states no quality, or no neuron reaches it.
        """
        if self.min_quality is None:
            return range(self.sessions[session])
        known = [(neuron, value) for neuron, value in enumerate(self.quality.get(session, ())) if value is not None]
        setting = f"model.min_quality={self.min_quality:g}"
        if not known:
            raise SettingError(
                f"{setting}: {self.name} states no quality of the neurons of session {session}",
                expected="a checkpoint that was saved after its test, such as *_final.ckpt",
                repair="model.min_quality=null",
            )
        found = [neuron for neuron, value in known if value >= self.min_quality]
        if not found:
            best = max(value for _, value in known)
            raise SettingError(f"{setting}: no neuron of session {session} reaches it", expected=f"at most {best:.3g}")
        return found

    def __post_init__(self) -> None:
        """Refuses sessions that no file could name.

        Raises:
            ModelError: a session's name holds a lone surrogate, which neither YAML nor a folder's name takes.
        """
        if broken := [session for session in self.sessions if not is_text(session)]:
            raise ModelError(f"the session {broken[0]} of {self.name} has no name in Unicode")


@dataclass(frozen=True)
class Presentation:
    """Facts that checkpoints may leave out, as a model's YAML states them.

    Attributes:
        name: what the model is called.
        channels: colour channel names; None names them by number.
        frame_rate: Hz.
        pixel_size: um per pixel edge.
        stimulus_range: lowest and highest value per channel, z-scored.
        source: path or URL shown to users; empty for the folder or file itself.
        min_quality: see `ModelFacts`, as the note.
        note: a sentence every user must see.

    Raises:
        SettingError: a value is out of range.
    """

    name: str = "ensemble"
    channels: Sequence[str] | None = None
    frame_rate: float | None = None
    pixel_size: float | None = None
    stimulus_range: Any = None
    source: str = ""
    min_quality: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        positive("frame_rate", self.frame_rate)
        positive("pixel_size", self.pixel_size)
        sound = self.min_quality is None or -1 <= self.min_quality <= 1
        require(sound, "min_quality", self.min_quality, "a correlation from -1 to 1")
        object.__setattr__(self, "stimulus_range", range_pairs("stimulus_range", self.stimulus_range))

    def channel_names(self, count: int) -> tuple[str, ...]:
        """The stated channel names, or made-up ones.

        Raises:
            ModelError: another number of names was stated than the model has channels.
        """
        if self.channels is None:
            return tuple(f"channel {index}" for index in range(count)) if count > 1 else ("grey",)
        if len(self.channels) != count:
            raise ModelError(
                f"model.channels names {len(self.channels)} channels, the model has {count}",
                repair="model.channels=[" + ",".join(f"c{i}" for i in range(count)) + "]",
            )
        return tuple(self.channels)

    def facts(self, channels: int, **found: Any) -> ModelFacts:
        """The facts of a model with so many channels: what is stated, beside what was found.

        Raises:
            ModelError: another number of channel names was stated.
        """
        stated = {name: getattr(self, name) for name in ("name", "frame_rate", "pixel_size", "stimulus_range")}
        stated |= {name: getattr(self, name) for name in ("source", "min_quality", "note")}
        return ModelFacts(**{**stated, "channels": self.channel_names(channels), **found})
