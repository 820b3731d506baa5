"""Stimuli around an optimum: the same shape at other contrasts, colours, sizes and places.

A stimulus is `(channel, time, height, width)`, float32, and every function returns a stack `(point, channel, time,
height, width)` of them, without a loop over points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import contourpy
import numpy as np
from numpy.typing import NDArray

Stimulus = NDArray[np.float32]
Values = NDArray[np.float64]


def scaled(stimulus: Stimulus, factors: Sequence[float] | Values) -> Stimulus:
    """The stimulus at other contrasts: all its values times each of some factors."""
    weights = np.asarray(factors, np.float32)
    return weights[:, None, None, None, None] * stimulus


def equal_norms(stimulus: Stimulus) -> Stimulus:
    """The stimulus with every channel scaled to the same L2 norm, and the joint norm kept.

    Every channel gets the joint norm divided by the square root of the number of channels (Hoefling et al. 2024, doi
    10.7554/eLife.86860, Fig. 5: both colours at equal norm). A channel of zeros stays zero, and the others share.
    """
    norms = np.sqrt(np.square(stimulus.astype(np.float64)).sum(axis=(1, 2, 3)))
    lit = norms > 0
    share = math.sqrt(np.square(norms).sum() / max(lit.sum(), 1))
    factors = np.where(lit, share / np.where(lit, norms, 1), 0)
    equal: Stimulus = (stimulus * factors[:, None, None, None]).astype(np.float32)
    return equal


def colour_axis(points: int) -> Values:
    """Contrasts from -1 to 1; 11 points as in Hoefling et al. 2024, Fig. 5."""
    return np.linspace(-1, 1, points)


def colour_pairs(channels: int) -> list[tuple[int, int]]:
    """Every pair of channels; a single channel is paired with itself."""
    return [(i, j) for i in range(channels) for j in range(i + 1, channels)] or [(0, 0)]


def colour_weights(channels: int, pair: tuple[int, int], points: int) -> Values:
    """Contrasts of all channels on a grid over two of them, the others staying at 1.

    Returns:
        `(point, channel)`, the second channel of the pair running fastest; one channel has a line of points.
    """
    axis = colour_axis(points)
    if pair[0] == pair[1]:
        return axis[:, None]
    weights = np.ones((points * points, channels))
    weights[:, pair[0]], weights[:, pair[1]] = np.repeat(axis, points), np.tile(axis, points)
    return weights


def iso_lines(axis: Values, grid: Values, level: float) -> list[Values]:
    """Lines on which the response is equal, by linear interpolation between the points of a colour grid.

    Args:
        axis: contrasts, the same for both channels.
        grid: responses `(first channel, second channel)`.
        level: the response.

    Returns:
        Lines of points `(point, 2)`: contrast of the first channel, contrast of the second.
    """
    lines = contourpy.contour_generator(axis, axis, grid.T).lines(level)
    return [np.asarray(line, np.float64) for line in lines]


def middle(stimulus: Stimulus) -> tuple[int, int]:
    """Row and column of the pixel with the most energy, all channels and frames together."""
    energy = np.square(stimulus.astype(np.float64)).sum(axis=(0, 1))
    row, column = np.unravel_index(np.argmax(energy), energy.shape)
    return int(row), int(column)


def disc_radii(height: int, width: int, centre: tuple[int, int], points: int) -> Values:
    """Radii in pixels, from the pixel in the centre alone to a disc that holds the whole field."""
    corner = math.hypot(max(centre[0], height - 1 - centre[0]), max(centre[1], width - 1 - centre[1]))
    return np.linspace(0.5, max(corner, 0.5), points)


def discs(stimulus: Stimulus, centre: tuple[int, int], radii: Sequence[float] | Values) -> Stimulus:
    """The stimulus behind discs: pixels whose middle is farther from the centre than a radius are grey."""
    rows, columns = np.indices(stimulus.shape[2:])
    distance = np.hypot(rows - centre[0], columns - centre[1])
    inside = distance <= np.asarray(radii)[:, None, None] + 1e-9
    behind: Stimulus = inside[:, None, None].astype(np.float32) * stimulus
    return behind


def shifts(length: int, points: int) -> list[int]:
    """Whole steps from minus to plus a third of a length, zero among them; at most `points` of them."""
    most = max(length // 3, 1) if length > 1 else 0
    half = max(min((points - 1) // 2, most), 0)
    return sorted({round(most * step / half) for step in range(-half, half + 1)}) if half else [0]


def shifted(stimulus: Stimulus, axis: int, steps: Sequence[int]) -> Stimulus:
    """The stimulus moved along an axis by whole steps: later, down or right where positive; grey moves in.

    Args:
        stimulus: `(channel, time, height, width)`.
        axis: 1 for time, 2 for down, 3 for right.
        steps: by how many frames or pixels.
    """
    length = stimulus.shape[axis]
    source = np.arange(length) - np.asarray(steps)[:, None]
    there = (source >= 0) & (source < length)
    moved = np.moveaxis(stimulus, axis, 0)[source.clip(0, length - 1)]
    moved = moved * there.reshape(*there.shape, 1, 1, 1)
    return np.ascontiguousarray(np.moveaxis(moved, 1, axis + 1), dtype=np.float32)


def percent_of_maximum(responses: Values) -> Values:
    """Responses in percent of the largest; NaN where that is not above zero."""
    largest = responses.max()
    return 100 * responses / largest if largest > 0 else np.full_like(responses, np.nan)
