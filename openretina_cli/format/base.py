"""The contract of a format: how the clips of a presentation and their order become the files of one stimulator.

A format is given a `Show`: clips, whose pictures are made one clip at a time so that memory does not grow with their
number, and trials, the order in which clips and background follow each other. It writes files, and reads every clip
back from them, because the twin is asked again about what the files hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import SettingError

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """One film of a presentation.

    Attributes:
        name: the stem of its files, which no other clip has.
        kind: "stimulus", or a control: "shuffle", "reversed" or "natural".
        run: the folder of the run.
        frames: frames of the stimulus.
        before: device frames of background before the stimulus.
        hold: device frames for which a frame of the stimulus stays.
        after: device frames of background after the stimulus.
        position: x (to the right) and y (up) of the centre of the film on the screen, in um from the screen's centre.
    """

    name: str
    kind: str
    run: str
    frames: int
    before: int
    hold: int
    after: int
    position: tuple[float, float] = (0.0, 0.0)

    @property
    def length(self) -> int:
        """Device frames of the film."""
        return self.before + self.frames * self.hold + self.after

    def stimulus_frame(self, frame: int) -> int | None:
        """The frame of the stimulus that a device frame of the film shows; None for background."""
        found = (frame - self.before) // self.hold
        return found if 0 <= found < self.frames else None


@dataclass(frozen=True)
class Trial:
    """A stretch of a presentation: a clip, or background.

    Attributes:
        clip: the place of the clip among the clips; None for background.
        length: device frames.
        block: the block, from 0; that of the clip before, for background.
        repeat: how often the clip was shown before.
        number: the place of the clip among all that are shown, from 0.
    """

    clip: int | None
    length: int
    block: int = 0
    repeat: int = 0
    number: int = -1


@dataclass(frozen=True)
class Show:
    """A presentation.

    Attributes:
        clips: its films.
        trials: their order.
        rate: device frames per second (Hz).
        channels: names of the channels.
        colors: the letters of R, G and B that each channel drives, such as ("G", "B").
        background: level of each channel where nothing is shown.
        size: height and width of a frame, in device pixels.
        pixel_size: edge of a device pixel on the retina in um, or None when unknown.
        trigger: device frames at the start of every clip during which the trigger is on.
        pictures: returns the frames of a clip `(time, height, width, channel)`, each once and without background.
    """

    clips: Sequence[Clip]
    trials: Sequence[Trial]
    rate: float
    channels: tuple[str, ...]
    colors: tuple[str, ...]
    background: tuple[int, ...]
    size: tuple[int, int]
    pixel_size: float | None
    trigger: int
    pictures: Callable[[int], Frames]

    @property
    def grey(self) -> Frames:
        """One frame of background `(height, width, channel)`."""
        return np.broadcast_to(np.array(self.background, np.uint8), (*self.size, len(self.channels)))

    @cached_property
    def firsts(self) -> list[int]:
        """How many pictures the clips before each have, and at the end how many all have."""
        return [0, *accumulate(clip.frames for clip in self.clips)]

    def film(self, index: int) -> Iterator[Frames]:
        """The device frames `(height, width, channel)` of a clip, background before and after included."""
        clip, grey = self.clips[index], self.grey
        yield from (grey for _ in range(clip.before))
        for picture in self.pictures(index):
            yield from (picture for _ in range(clip.hold))
        yield from (grey for _ in range(clip.after))

    def whole_film(self, index: int) -> Frames:
        """The device frames of a clip as one array `(time, height, width, channel)`."""
        return np.stack([*self.film(index)])

    def colored(self, frame: Frames) -> Frames:
        """A frame `(..., channel)` as red, green and blue `(..., 3)`; a colour that no channel drives is 0."""
        pixels = np.zeros((*frame.shape[:-1], 3), np.uint8)
        for channel, letters in enumerate(self.colors):
            for letter in letters:
                pixels[..., "RGB".index(letter)] = frame[..., channel]
        return pixels

    def uncolored(self, pixels: Frames) -> Frames:
        """The channels `(..., channel)` of red, green and blue."""
        return pixels[..., ["RGB".index(letters[0]) for letters in self.colors]]


class Format:
    """One option of `format=NAME`.

    Attributes:
        refresh: frames per second of the stimulator (Hz), where the format has a usual one.
        colored: whether its frames are red, green and blue, so that every channel needs a colour.
        packages: packages that it imports, each with the extra of this package that installs it.
    """

    refresh: float | None = None
    colored: ClassVar[bool] = False
    packages: ClassVar[dict[str, str]] = {}

    def require_packages(self) -> None:
        """Import what the format needs beyond the core.

        Raises:
            SettingError: a package is not installed.
        """
        for package, extra in self.packages.items():
            needed(package, extra)

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the format's frames, for stimuli of a height and width in device pixels."""
        return height, width

    def film_length(self, length: int, rate: float) -> int:
        """Device frames that the film of a clip of some length needs; background fills what is more.

        Args:
            length: device frames of the clip.
            rate: device frames per second (Hz).
        """
        del rate
        return length

    def check(self, show: Show) -> None:
        """Refuse a presentation that the format cannot hold, before anything is written.

        Raises:
            SettingError: it cannot.
        """

    def channels(self, show: Show) -> list[int]:
        """The channels that the format shows; the twin is asked about background in the others."""
        return [*range(len(show.channels))]

    def write(self, folder: Path, show: Show) -> None:
        """Write the files of a presentation into an empty folder."""
        raise NotImplementedError

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The device frames `(time, height, width, channel)` of a clip, from the files."""
        raise NotImplementedError

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The file that holds a device frame of a clip, and the number of the frame in it from 0."""
        raise NotImplementedError

    def background_place(self) -> tuple[str, int | None]:
        """The same for background between clips; ("", None) where no file holds it."""
        return "", None


def needed(package: str, extra: str) -> Any:
    """Import a package of an extra.

    Raises:
        SettingError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise SettingError(
            f"this format needs {package}, which is not installed", repair=f"pip install 'openretina-cli[{extra}]'"
        ) from error


def safe_name(text: str) -> str:
    """A text as the stem of a file: letters, digits, dots, minus and underscores of ASCII, 80 at most."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._")[:80] or "run"
