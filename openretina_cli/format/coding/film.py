"""Frames of red, green and blue in files of FFmpeg's, without loss: FFV1 in AVI, and PNG pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from openretina_cli.errors import ArtifactError
from openretina_cli.format.base import Format, Frames, Show


@dataclass(frozen=True)
class Coding:
    """How FFmpeg writes frames.

    Attributes:
        codec: the name of the encoder.
        pixels: how it takes red, green and blue; every name here is a plain reordering of the 8-bit values.
        container: the name of the container.
    """

    codec: str
    pixels: str
    container: str


FFV1 = Coding("ffv1", "bgr0", "avi")
"""FFV1 (RFC 9043) is lossless in RGB; Xvid and H.264 in yuv420p are not."""
PNG = Coding("png", "rgb24", "image2")


def write_film(path: Path, frames: Iterable[Frames], rate: float, coding: Coding) -> None:
    """Write frames `(height, width, 3)`.

    Args:
        path: the file; of pictures a pattern such as `%06d.png`, which counts from 0.
        frames: red, green and blue, at least one.
        rate: frames per second (Hz), which is written into a film.
        coding: how.

    Raises:
        ArtifactError: the encoder refused them.
        OSError: the operating system refuses.
    """
    import av

    options = {"start_number": "0"} if coding is PNG else {"fflags": "+bitexact"}
    try:
        with av.open(_pattern(path, coding), "w", format=coding.container, options=options) as container:
            stream = container.add_stream(coding.codec, rate=Fraction(rate).limit_denominator(10_000))
            stream.pix_fmt = coding.pixels
            stream.codec_context.thread_count = 1  # the same frames give the same bytes
            for index, frame in enumerate(frames):
                if index == 0:
                    stream.height, stream.width = frame.shape[:2]
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=coding.pixels)
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError):
            raise
        raise ArtifactError(f"{path.name}: the encoder failed: {error}") from error


def read_film(path: Path, coding: Coding) -> Frames:
    """The frames `(time, height, width, 3)` of a file that `write_film` wrote.

    Raises:
        ArtifactError: they cannot be decoded.
    """
    import av

    options = {"start_number": "0"} if coding is PNG else {}
    try:
        with av.open(_pattern(path, coding), format=coding.container, options=options) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    except (av.FFmpegError, ValueError) as error:
        raise ArtifactError(f"{path.name} cannot be decoded: {error}") from error


class Films(Format):
    """Base of formats whose clips are files of FFmpeg's: `NAME.avi` in FFV1 at the device's rate, or others."""

    colored = True
    coding = FFV1

    def file(self, folder: Path, name: str) -> Path:
        """Where the film of a clip lies."""
        return folder / f"{name}.avi"

    def laid(self, frames: Frames) -> Frames:
        """Frames `(..., height, width, colour)` in the order of rows in which the files hold them, and back."""
        return frames

    def write(self, folder: Path, show: Show) -> None:
        """Write the films."""
        for index, clip in enumerate(show.clips):
            path = self.file(folder, clip.name)
            path.parent.mkdir(exist_ok=True)
            write_film(path, (self.laid(show.colored(frame)) for frame in show.film(index)), show.rate, self.coding)

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """Decode the film of a clip."""
        return show.uncolored(self.laid(read_film(self.file(folder, show.clips[index].name), self.coding)))

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The frame of the film."""
        return self.file(Path(), show.clips[index].name).name, frame


def _pattern(path: Path, coding: Coding) -> str:
    """The path as FFmpeg reads it: of pictures, percent signs of the folder are no pattern."""
    return str(path.parent).replace("%", "%%") + f"/{path.name}" if coding is PNG else str(path)
