"""The frames of a video: every stimulus pixel a square, and a timeline below the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import stimulus_array
from openretina_cli.output.colors import Scale, to_rgb
from openretina_cli.output.view import RunView

Frame = NDArray[np.uint8]

STILL_RATE = 25.0  # Hz, for stimuli without a frame rate
MAXIMUM_EDGE = 4096  # pixels; browsers decode no larger H.264 reliably

# The timeline below the picture: 4 pixels of air, a bar of 8, 4 pixels of air.
STRIP_HEIGHT, BAR = 16, slice(4, 12)
AIR, TRACK, WINDOW, CURSOR = (16, 16, 16), (72, 72, 72), (214, 158, 46), (255, 255, 255)


@dataclass(frozen=True)
class Plane:
    """One number per pixel of every frame, before it is enlarged.

    Attributes:
        pictures: `(frame, height, width)`.
        factor: by how much they are enlarged.
        bars: `(frame, width * factor)`, the row of which every frame's bar is made, or None for no strip.
        air: the number around the bar.
        step: of so many pixels of the video, in a row and in a column, the plane keeps one.
    """

    pictures: Frame
    factor: int
    bars: Frame | None
    air: int
    step: int = 1

    def frames(self) -> Iterator[Frame]:
        """The enlarged frames `(height, width)`, with the strip."""
        count, height, width = self.pictures.shape
        end = height * self.factor
        strip = 0 if self.bars is None else STRIP_HEIGHT // self.step
        rows = self.pictures.repeat(self.factor, axis=2)
        for index in range(count):
            frame = np.full((end + strip, width * self.factor), self.air, dtype=np.uint8)
            frame[:end].reshape(height, self.factor, -1)[:] = rows[index, :, None]
            if self.bars is not None:
                frame[end + BAR.start // self.step : end + BAR.stop // self.step] = self.bars[index]
            yield frame


@dataclass(frozen=True)
class Film:
    """All frames of a video, before they are enlarged.

    Attributes:
        pictures: `(frame, height, width, 3)`, red-green-blue; of even height and width where the factor is 1.
        factor: how many video pixels a stimulus pixel is wide and high; 1 or even, see `enlargement`.
        bars: `(frame, width * factor, 3)`, the row of which every frame's bar is made, or None.
        repeats: how often the frames are shown.
    """

    pictures: Frame
    factor: int
    bars: Frame | None
    repeats: int

    def yuv420(self) -> Iterator[Frame]:
        """The frames in planar YUV 4:2:0, `(3 * height / 2, width)`.

        They are converted before they are enlarged, which gives the same at a fraction of the cost, as the 2 by 2
        pixels that share a colour lie within one stimulus pixel.
        """
        planes = [self._yuv_plane(index) for index in range(3)]
        for _ in range(self.repeats):
            for luma, *chroma in zip(*(plane.frames() for plane in planes), strict=True):
                flat = np.concatenate([luma.reshape(-1), *(plane.reshape(-1) for plane in chroma)])
                yield flat.reshape(-1, luma.shape[1])

    def _yuv_plane(self, index: int) -> Plane:
        """Luma (0), at full resolution, or blue or red chroma, at half of it."""
        step = 2 if index else 1
        pictures, factor = to_yuv(self.pictures, index), self.factor // step
        if factor == 0:  # not enlarged: neighbours share a colour
            pictures, factor = _halved(_halved(pictures, 1), 2), 1
        bars = None if self.bars is None else to_yuv(self.bars, index)
        if bars is not None and index:
            bars = _halved(bars, 1)
        air = int(_rounded(to_yuv(np.array(AIR, dtype=np.uint8), index)))
        return Plane(_rounded(pictures), factor, None if bars is None else _rounded(bars), air, step)


def film_of(view: RunView, *, scale: Scale = "symmetric", minimum_height: int = 288) -> Film:
    """What the video of a run shows.

    Each stimulus pixel becomes a square of equal pixels. If a window was optimised, a timeline below the picture
    shows it as a coloured band with a cursor at the present frame; the picture itself carries no mark. A single frame
    is held for one second.

    Raises:
        UserError: the stimulus does not have four axes.
        ArtifactError: it holds values that are not finite.
    """
    pictures = to_rgb(stimulus_array(view.stimulus), view.channels, scale)
    count, height, width, _ = pictures.shape
    factor = enlargement(height, width, minimum_height)
    bars = None
    if view.stimulus_window is not None and count > 1:
        bars = timeline(width * factor, count, view.stimulus_window)
    if factor == 1:  # an even factor makes even sizes by itself
        pictures = _pad_even(_pad_even(pictures, 1), 2)
        bars = None if bars is None else _pad_even(bars, 1)
    return Film(pictures, factor, bars, max(round(view.frame_rate or STILL_RATE), 1) if count == 1 else 1)


def enlargement(height: int, width: int, minimum_height: int) -> int:
    """Whole factor that makes the picture at least `minimum_height` high, while no edge exceeds what players decode.

    An enlarged picture has an even factor: colour is stored for 2 by 2 pixels, which must not straddle two stimulus
    pixels, or their colours would bleed into each other.
    """
    factor = -(-minimum_height // height)
    if factor > 1:
        factor += factor % 2
    largest = MAXIMUM_EDGE // max(height, width)
    return max(min(factor, largest - largest % 2 if factor > 1 else largest), 1)


def timeline(width: int, count: int, window: tuple[int, int]) -> Frame:
    """The row of which each frame's bar is made, `(count, width, 3)`: the window `[start, stop)` and a cursor."""
    rows = np.full((count, width, 3), TRACK, dtype=np.uint8)
    start, stop = (round(min(max(frame, 0), count) * width / count) for frame in window)
    rows[:, start:stop] = WINDOW
    for index, row in enumerate(rows):
        cursor = min(index * width // count, width - 2)  # stays visible in videos with more frames than columns
        row[cursor : max((index + 1) * width // count, cursor + 2)] = CURSOR
    return rows


def to_yuv(rgb: Frame, index: int) -> NDArray[np.float64]:
    """Luma (0), blue (1) or red chroma (2) of red-green-blue `(..., 3)`, in the limited range of BT.709, not rounded.

    Source: ITU-R BT.709-6, sections 3 and 4. Done here rather than by the scaler of FFmpeg, whose default matrix is
    that of standard television and whose chroma filter reaches beyond the 2 by 2 pixels that share a colour.
    """
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    values: NDArray[np.float64] = (
        16.0 + 219.0 * luma,
        128.0 + 224.0 * (blue - luma) / 1.8556,
        128.0 + 224.0 * (red - luma) / 1.5748,
    )[index]
    return values


def _rounded(values: NDArray[np.float64]) -> Frame:
    whole: Frame = np.rint(values).astype(np.uint8)
    return whole


def _halved(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The means of neighbours along an axis of even length."""
    first, second = (values.take(range(start, values.shape[axis], 2), axis) for start in (0, 1))
    mean: NDArray[np.float64] = (first + second) / 2.0
    return mean


def _pad_even(frames: Frame, axis: int) -> Frame:
    """A row or column of `AIR` at the end where the size is odd; nothing is cropped."""
    if frames.shape[axis] % 2 == 0:
        return frames
    shape = [1 if index == axis else length for index, length in enumerate(frames.shape)]
    return np.concatenate([frames, np.broadcast_to(np.array(AIR, dtype=np.uint8), shape)], axis=axis)
