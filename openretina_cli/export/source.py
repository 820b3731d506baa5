"""The stimuli of an export: those of finished runs, or the rows of `stimuli.npz`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.run.finished import finite, read_completed
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.finder import find_finished
from openretina_cli.store.stack_file import Stack, read_stacks

Stimulus = NDArray[np.float32]
NEEDED = ("session", "neurons", "channels", "window_response_frames", "frame_rate_hz", "pixel_size_um")
"""Fields of a result without which a stimulus cannot be written and asked about."""


@dataclass(frozen=True)
class Source:
    """A stimulus, and what its run states of it.

    Attributes:
        name: of the run's folder.
        folder: the run's folder, or the file and its row.
        record: the file that states it: `result.json` or `stimuli.npz`.
        session: the session of the cells.
        neurons: the cells.
        seed: of the run, or None when unknown.
        channels: names of the channels.
        frame_rate: Hz, or None when unknown.
        pixel_size: edge of a pixel in um, or None when unknown.
        window: the response frames `[start, stop)` that were optimised; None means all.
        sha256: digest of the model's files.
        model: name of the model.
        settings: of the model, as plain values; None where no result states them.
        read: reads the stimulus.
    """

    name: str
    folder: str
    record: Path
    session: str
    neurons: tuple[int, ...]
    seed: int | None
    channels: tuple[str, ...]
    frame_rate: float | None
    pixel_size: float | None
    window: tuple[int, int] | None
    sha256: str
    model: str
    settings: Mapping[str, Any] | None
    read: Callable[[], Stimulus]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the stimulus: channels, frames, height and width."""
        return self.stimulus().shape

    def stimulus(self) -> Stimulus:
        """The stimulus `(channel, time, height, width)`.

        Raises:
            ArtifactError: it cannot be read, is not finite, or has another number of channels than the run states.
        """
        found = finite(self.folder, self.read())
        if len(found) != len(self.channels):
            raise ArtifactError(
                f"{self.folder} holds a stimulus of {len(found)} channels", expected=", ".join(self.channels)
            )
        return found


def find_sources(places: Sequence[Path]) -> list[Source]:
    """The stimuli in folders of finished runs and in files like `stimuli.npz`, in their order.

    Raises:
        SettingError: a place is not there, or holds no finished run.
        ArtifactError: a result or a stack cannot be read.
    """
    found: list[Source] = []
    for place in places:
        if place.is_file():
            found += [row for stack in read_stacks(place) for row in _rows(stack)]
        else:
            found += map(_of_run, find_finished([place]))
    unique = {source.folder: source for source in found}
    if not unique:
        raise SettingError(f"there is no stimulus in {places[0]}", expected="a finished run")
    return [*unique.values()]


def _of_run(folder: Path) -> Source:
    result = read_completed(folder, *NEEDED)
    model = result.settings.get("model")
    return Source(
        name=folder.name,
        folder=str(folder),
        record=result.path,
        session=result.session,
        neurons=result.neurons,
        seed=result.seed,
        channels=result.channels,
        frame_rate=result.frame_rate,
        pixel_size=result.pixel_size,
        window=result.window,
        sha256=result.sha256,
        model=result.model,
        settings=model if isinstance(model, Mapping) else None,
        read=partial(read_stimulus, folder),
    )


def _rows(stack: Stack) -> list[Source]:
    missing = [name for name in ("folder", "session", "neurons", "channels") if name not in stack.index]
    if missing:
        raise ArtifactError(f"{stack.path} has no {missing[0]}", expected="stimuli.npz as openretina report writes it")
    return [_row(stack, number) for number in range(stack.shape[0])]


def _row(stack: Stack, number: int) -> Source:
    index: dict[str, Any] = {name: values[number].item() for name, values in stack.index.items()}
    rate, seed = float(index.get("frame_rate_hz", np.nan)), int(index.get("seed", -1))
    words = str(index["neurons"]).split()
    return Source(
        name=Path(str(index["folder"])).name or "run",
        folder=f"{stack.path}:{index['folder']}",
        record=stack.path,
        session=str(index["session"]),
        neurons=tuple(int(word) for word in words if word.isdecimal()),
        seed=None if seed < 0 else seed,
        channels=tuple(str(index["channels"]).split()),
        frame_rate=rate if np.isfinite(rate) and rate > 0 else None,
        pixel_size=None,
        window=None,
        sha256="",
        model="",
        settings=None,
        read=partial(stack.row, number),
    )


def check_alike(sources: Sequence[Source]) -> None:
    """Refuse runs that no one presentation can hold.

    Raises:
        SettingError: two runs have other channels, pixels or frame rates.
    """
    first = sources[0]
    for source in sources:
        for what, own, other in (
            ("channels", ",".join(source.channels), ",".join(first.channels)),
            ("pixels", source.shape[2:], first.shape[2:]),
            ("a frame rate of", source.frame_rate, first.frame_rate),
            ("a pixel size of", source.pixel_size, first.pixel_size),
        ):
            if own != other:
                raise SettingError(
                    f"{source.name} has {what} {own}, and {first.name} {other}", expected="runs of one kind of stimulus"
                )
