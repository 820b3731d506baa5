"""Stimulus pixels as device pixels, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import SettingError
from openretina_cli.export.settings import GeometrySettings
from openretina_cli.format.base import Format, Frames

LARGEST = 65_535
"""Device pixels along an edge."""


@dataclass(frozen=True)
class Geometry:
    """Pixels are repeated, flipped, turned, and put in the middle of the device.

    Attributes:
        rows: device rows of each stimulus row.
        columns: device columns of each stimulus column.
        flip: "none", "horizontal" or "vertical".
        turns: quarter turns clockwise.
        size: height and width of the device.
        pixel_size: edge of a device pixel in um, or None when unknown.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    flip: str
    turns: int
    size: tuple[int, int]
    pixel_size: float | None

    @property
    def cropped(self) -> bool:
        """Whether pixels of the stimulus are lost."""
        height, width = self._turned
        return height > self.size[0] or width > self.size[1]

    @property
    def _turned(self) -> tuple[int, int]:
        height, width = int(self.rows.sum()), int(self.columns.sum())
        return (width, height) if self.turns % 2 else (height, width)

    def apply(self, pictures: Frames, background: tuple[int, ...]) -> Frames:
        """Device frames `(time, height, width, channel)` of pictures."""
        large = pictures.repeat(self.rows, axis=1).repeat(self.columns, axis=2)
        placed = np.empty((len(large), *self.size, large.shape[-1]), np.uint8)
        placed[:] = background
        inner, outer = self._overlap()
        turned = np.rot90(self._flipped(large), -self.turns, (1, 2))
        placed[:, outer[0], outer[1]] = turned[:, inner[0], inner[1]]
        return placed

    def undo(self, frames: Frames, background: tuple[int, ...]) -> NDArray[np.float64]:
        """Pictures of device frames: of each stimulus pixel the mean level of its device pixels.

        Device pixels that were cropped count as background, which is what the retina sees there.
        """
        return np.stack([self._undone(frame, background) for frame in frames])

    def move(self, x: float, y: float) -> tuple[float, float]:
        """Where a position (x to the right, y up) lies after flip and turns."""
        x, y = (-x if self.flip == "horizontal" else x), (-y if self.flip == "vertical" else y)
        for _ in range(self.turns):
            x, y = y, -x
        return x + 0.0, y + 0.0  # no -0.0

    def _undone(self, frame: Frames, background: tuple[int, ...]) -> NDArray[np.float64]:
        turned = np.empty((*self._turned, frame.shape[-1]), np.uint8)
        turned[:] = background
        inner, outer = self._overlap()
        turned[inner] = frame[outer]
        large = self._flipped(np.rot90(turned, self.turns, (0, 1))[None])[0]
        sums = large
        for axis, counts in enumerate((self.rows, self.columns)):
            sums = np.add.reduceat(sums, np.cumsum(counts) - counts, axis=axis, dtype=np.int64)
        means: NDArray[np.float64] = sums / (self.rows[:, None, None] * self.columns[None, :, None])
        return means

    def _flipped(self, frames: Frames) -> Frames:
        axis = {"none": (), "horizontal": (2,), "vertical": (1,)}[self.flip]
        return np.flip(frames, axis)

    def _overlap(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of the turned stimulus that is on the device, and its place there."""
        pairs = [_middle(inner, outer) for inner, outer in zip(self._turned, self.size, strict=True)]
        return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])


def _middle(inner: int, outer: int) -> tuple[slice, slice]:
    """Where one length lies in the middle of another, in the coordinates of each."""
    common = min(inner, outer)
    first, second = (inner - common) // 2, (outer - common) // 2
    return slice(first, first + common), slice(second, second + common)


def geometry_of(
    settings: GeometrySettings, shape: tuple[int, int], pixel_size: float | None, format_: Format
) -> Geometry:
    """The geometry of an export.

    A ratio of pixel sizes that is no whole number gives some pixels one device pixel more than others: each edge is put
    on the nearest device pixel, so that no edge is off by more than half of one.

    Args:
        settings: what the user gave.
        shape: height and width of the stimulus.
        pixel_size: edge of a stimulus pixel in um, or None when unknown.
        format_: the format, which may want frames of another size.

    Raises:
        SettingError: device pixels are larger than the stimulus', or sizes are not known.
    """
    turns = settings.rotate // 90
    ratio = float(settings.factor) if isinstance(settings.factor, int) else 1.0
    if settings.factor == "fit":
        turned = shape[::-1] if turns % 2 else shape
        device = settings.size or format_.canvas(*turned)
        ratio = float(max(1, min(outer // inner for outer, inner in zip(device, turned, strict=True))))
    if settings.um_per_pixel is not None:
        if pixel_size is None:
            raise SettingError("the runs do not say how large a pixel is", repair="export.geometry.factor=4")
        ratio = pixel_size / settings.um_per_pixel
    if ratio < 1 or ratio * max(shape) > LARGEST:
        raise SettingError(
            f"export.geometry.um_per_pixel={settings.um_per_pixel} makes {ratio:.3g} device pixels of a stimulus pixel",
            expected=f"at least 1, and at most {LARGEST} along an edge",
            repair=f"export.geometry.um_per_pixel={pixel_size or 1:g}",
        )
    rows, columns = (np.diff(np.rint(np.arange(edge + 1) * ratio)).astype(np.int64) for edge in shape)
    height, width = int(rows.sum()), int(columns.sum())
    height, width = (width, height) if turns % 2 else (height, width)
    size = (settings.size[0], settings.size[1]) if settings.size is not None else (height, width)
    um = None if pixel_size is None else pixel_size / ratio
    return Geometry(rows, columns, settings.flip, turns, format_.canvas(*size), um)
