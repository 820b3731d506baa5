"""`format=dmd`: a bank of images and the sequence in which a digital micromirror device shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from openretina_cli.checks import closest, require
from openretina_cli.errors import SettingError
from openretina_cli.format.base import Format, Frames, Show

BITS = 8
HEADER = 8
"""Bytes of the header: width, height, number of images and bits, each of 16 bits."""
MOST_IMAGES = 65_535
"""Images that the header can count."""
BANK = "stimulus.bin"
REPETITIONS = "repetitions.csv"


class Dmd(Format):
    """`stimulus.bin`, `stimulus_RATEhz.vec` and `repetitions.csv`, as ViALUX devices of the Marre lab take them.

    The bank begins with background as image 0; each picture of a clip follows once, and the sequence repeats it. Images
    count from 0, repetitions and their frames from 1. Source: balefebvre/dmd-stimuli 29b20f2, `natural_movies.m` and
    `rectangle_central_field.m`.

    Args:
        width: mirrors along a row.
        height: mirrors along a column.
        channel: which channel is shown; None means the only one.
        byte_order: of the header's numbers.
        row_order: "rows" writes an image row by row, as `natural_movies.m`, which transposes it before `fwrite`;
            "columns" writes column by column.
        invert: whether 255 - level is written, for devices on which a mirror that is off is bright.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        width: int = 1024,
        height: int = 768,
        channel: Annotated[str | None, "green"] = None,
        byte_order: Literal["little", "big"] = "little",
        row_order: Literal["rows", "columns"] = "rows",
        invert: bool = False,
    ) -> None:
        require(1 <= width <= MOST_IMAGES, "width", width, f"1 to {MOST_IMAGES}")
        require(1 <= height <= MOST_IMAGES, "height", height, f"1 to {MOST_IMAGES}")
        self.width, self.height, self.channel = width, height, channel
        self.byte_order, self.row_order, self.invert = byte_order, row_order, invert

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """The mirrors."""
        return self.height, self.width

    def check(self, show: Show) -> None:
        """Refuse a presentation of several channels, or of more images than the header can count.

        Raises:
            SettingError: it is such a one.
        """
        names = list(show.channels)
        if self.channel is None and len(names) > 1:
            raise SettingError(
                f"a dmd shows one channel, and the runs have {', '.join(names)}",
                repair=f"format.channel={names[0]}",
            )
        if self.channel is not None and self.channel not in names:
            raise SettingError(f"format.channel={self.channel} is no channel", expected=closest(self.channel, names))
        count = 1 + show.firsts[-1]
        if count > MOST_IMAGES:
            raise SettingError(
                f"the runs have {count} images, and a bank holds {MOST_IMAGES}", repair="fewer folders at once"
            )

    def channels(self, show: Show) -> list[int]:
        """The one channel."""
        return [self._channel(show)]

    def write(self, folder: Path, show: Show) -> None:
        """Write bank, sequence and repetitions."""
        order = "<u2" if self.byte_order == "little" else ">u2"
        count = 1 + show.firsts[-1]
        with (folder / BANK).open("wb") as file:
            file.write(np.array([self.width, self.height, count, BITS], order).tobytes())
            file.write(self._image(show.grey[..., self._channel(show)]))
            for index in range(len(show.clips)):
                for picture in show.pictures(index):
                    file.write(self._image(picture[..., self._channel(show)]))
        with (folder / _sequence(show)).open("w", encoding="ascii", newline="\n") as text:
            text.writelines(self._lines(show))
        with (folder / REPETITIONS).open("w", encoding="ascii", newline="\r\n") as text:
            text.writelines(_repetitions(show))

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The images of a clip, in the sequence; channels that are not shown are background."""
        shape = (self.width, self.height) if self.row_order == "columns" else (self.height, self.width)
        clip, size = show.clips[index], self.height * self.width
        count = 1 + show.firsts[-1]
        bank = np.memmap(folder / BANK, np.uint8, "r", HEADER, (count, size))
        numbers = [self.place(show, index, frame)[1] for frame in range(clip.length)]
        images = np.array(bank[numbers]).reshape(-1, *shape)
        images = images.swapaxes(1, 2) if self.row_order == "columns" else images
        film: Frames = np.broadcast_to(show.grey, (clip.length, *show.size, len(show.channels))).copy()
        film[..., self._channel(show)] = 255 - images if self.invert else images
        return film

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The image in the bank."""
        found = show.clips[index].stimulus_frame(frame)
        return BANK, 0 if found is None else 1 + show.firsts[index] + found

    def background_place(self) -> tuple[str, int | None]:
        """Image 0."""
        return BANK, 0

    def _channel(self, show: Show) -> int:
        return 0 if self.channel is None else show.channels.index(self.channel)

    def _image(self, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
        levels = 255 - image if self.invert else image
        return levels.tobytes("F" if self.row_order == "columns" else "C")

    def _lines(self, show: Show) -> Iterator[str]:
        """The sequence: the number of frames, then the image of every frame; other columns are not used."""
        yield f"0 {sum(trial.length for trial in show.trials)} 0 0 0\n"
        for trial in show.trials:
            for frame in range(trial.length):
                image = 0 if trial.clip is None else self.place(show, trial.clip, frame)[1]
                yield f"0 {image} 0 0 0\n"


def _sequence(show: Show) -> str:
    return f"stimulus_{show.rate:g}hz.vec"


def _repetitions(show: Show) -> Iterator[str]:
    """A row for each trial of a clip: its number, its first frame and its last, all from 1."""
    yield "repetitionId;startFrameId;endFrameId\n"
    frame = 0
    for trial in show.trials:
        if trial.clip is not None:
            yield f"{trial.number + 1};{frame + 1};{frame + trial.length}\n"
        frame += trial.length
