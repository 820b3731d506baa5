"""The centre of a picture and its surround: two concentric round Gaussians, fitted by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEAST_EXPLAINED = 0.5
"""Share of a picture's power that a fit must explain; below, a centre with a surround is no description of it."""
LEAST_SIDE = 4
"""Pixels along the shorter side below which six numbers are not fitted."""
LEAST_RATIO, MOST_RATIO = 1.2, 8.0
"""Width of the surround over that of the centre; beyond these, it cannot be told from the centre or from grey."""
SMALLEST, GROWTH, APART = 0.5, 1.25, (2, 4, 6)
"""Widths in pixels from which a fit may start: the smallest, the next over one, and surrounds in steps of these."""
ENOUGH = 1e-4
"""Share of what is left by which a last step improves a fit; further steps move sizes by a hundredth."""
STEPS = 40
"""Steps of the fit at most; optimised stimuli take 5 to 15."""


@dataclass(frozen=True)
class Field:
    """Two concentric Gaussians.

    Attributes:
        row: of the middle, in pixels; 0 is the middle of the first row.
        column: likewise.
        sigma: standard deviation of the centre in pixels.
        surround: summed weight of the surround over that of the centre, both within the picture: 0 for none, 1 for a
            surround that balances the centre (Croner and Kaplan 1995, doi 10.1016/0042-6989(94)E0066-T, integrate over
            the whole plane, which a field of a few hundred um does not show).
        explained: share of the picture's squared values that the fit explains.
    """

    row: float
    column: float
    sigma: float
    surround: float
    explained: float

    def window(self, height: int, width: int) -> Values:
        """The centre as weights `(height, width)`, 1 in the middle."""
        shape: Values = np.multiply.outer(
            *(
                np.exp(-((np.arange(n) - at) ** 2) / (2 * self.sigma**2))
                for n, at in ((height, self.row), (width, self.column))
            )
        )
        return shape


def _gaussian(offsets: tuple[Values, Values], sigma: float) -> Values:
    rows, columns = (np.exp(-(values**2) / (2 * sigma**2)) for values in offsets)
    found: Values = rows[:, None] * columns
    return found


def _start(picture: Values, middle: tuple[int, int]) -> NDArray[np.float64]:
    """Amplitudes, middle, and logarithms of width and ratio, from the best pair of a grid of widths around the peak."""
    count = 1 + math.ceil(math.log(max(picture.shape) / 2 / SMALLEST, GROWTH))
    widths = SMALLEST * GROWTH ** np.arange(count + max(APART))
    rows, columns = (
        np.exp(-((np.arange(n) - at) ** 2) / (2 * widths[:, None] ** 2))
        for n, at in zip(picture.shape, middle, strict=True)
    )
    products = (rows @ rows.T) * (columns @ columns.T)  # of Gaussians, and of each with the picture
    pulls = np.einsum("wr,rc,wc->w", rows, picture, columns)
    one = np.tile(np.arange(count), len(APART))
    other = one + np.repeat(APART, count)
    first, both, second = products[one, one], products[one, other], products[other, other]
    det = first * second - both**2
    centre = (second * pulls[one] - both * pulls[other]) / det
    around = (first * pulls[other] - both * pulls[one]) / det
    gained = np.where(centre > 0, centre * pulls[one] + around * pulls[other], -np.inf)
    best = int(np.argmax(gained))
    ratio = widths[other[best]] / widths[one[best]]
    return np.array([centre[best], around[best], *middle, math.log(widths[one[best]]), math.log(ratio)])


def _shape(parameters: Values, picture: Values) -> tuple[Values, Values]:
    """The two Gaussians weighted and summed, `(pixel,)`, and its derivatives `(pixel, parameter)`."""
    centre, around, row, column, log_sigma, log_ratio = parameters
    sigmas = np.exp(log_sigma), np.exp(log_sigma + log_ratio)
    rows, columns = np.arange(picture.shape[0]) - row, np.arange(picture.shape[1]) - column
    one, other = (_gaussian((rows, columns), sigma) for sigma in sigmas)
    inner, outer = centre * one / sigmas[0] ** 2, around * other / sigmas[1] ** 2
    square = rows[:, None] ** 2 + columns**2
    both, wide = inner + outer, outer * square
    slopes = [one, other, both * rows[:, None], both * columns, inner * square + wide, wide]
    return (centre * one + around * other).ravel(), np.stack([slope.ravel() for slope in slopes], axis=1)


def _limits(shape: tuple[int, ...]) -> tuple[Values, Values]:
    """The lowest and the highest parameters."""
    low = [0, -np.inf, -0.5, -0.5, math.log(0.3), math.log(LEAST_RATIO)]
    high = [np.inf, 0, shape[0] - 0.5, shape[1] - 0.5, math.log(2 * max(shape)), math.log(MOST_RATIO)]
    return np.array(low), np.array(high)


def fit_field(picture: NDArray[np.floating[Any]]) -> Field | str:
    """Fit a centre and a surround to the spatial component of a stimulus.

    The least squares are those of Levenberg (1944, doi 10.1090/qam/10666) and Marquardt (1963, doi 10.1137/0111030),
    from the best of a grid of widths around the peak; the surround's weight is at most zero.

    Args:
        picture: `(height, width)`, positive at its peak.

    Returns:
        The fit, or why there is none.
    """
    values = np.asarray(picture, np.float64)
    power = float(np.square(values).sum())
    if power == 0:
        return "the channel is grey"
    if min(values.shape) < LEAST_SIDE:
        return f"a picture of {values.shape[0]} x {values.shape[1]} pixels is too small for a fit"
    row, column = np.unravel_index(np.argmax(values), values.shape)
    found, error = _least_squares(values, _start(values, (int(row), int(column))))
    explained = 1 - error / power
    if explained < LEAST_EXPLAINED:
        return f"a centre with a surround explains {100 * max(explained, 0):.0f} % of the picture"
    sigma = float(np.exp(found[4]))
    if sigma > max(values.shape) / 2:
        return "its centre is larger than the picture"
    offsets = np.arange(values.shape[0]) - found[2], np.arange(values.shape[1]) - found[3]
    weights = [abs(found[i]) * _gaussian(offsets, s).sum() for i, s in enumerate((sigma, sigma * np.exp(found[5])))]
    return Field(float(found[2]), float(found[3]), sigma, float(weights[1] / weights[0]), explained)


def _least_squares(picture: Values, start: Values) -> tuple[Values, float]:
    """The parameters at the end of the fit, and the sum of squares that is left."""
    low, high = _limits(picture.shape)
    found, damping, target = start.clip(low, high), 1e-2, picture.ravel()
    shape, slopes = _shape(found, picture)
    error = float(np.square(target - shape).sum())
    for _ in range(STEPS):
        normal, pull = slopes.T @ slopes, slopes.T @ (target - shape)
        damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
        # what a bound holds back must not hold back the others
        free = ~((found <= low) & (pull < 0) | (found >= high) & (pull > 0))
        step = np.zeros(len(pull))
        step[free] = np.linalg.solve(damped[np.ix_(free, free)], pull[free])
        trial = (found + step).clip(low, high)
        shape_there, slopes_there = _shape(trial, picture)
        gained = error - float(np.square(target - shape_there).sum())
        if gained <= 0:
            damping *= 8
            if damping > 1e8:
                break
            continue
        found, shape, slopes, error, damping = trial, shape_there, slopes_there, error - gained, damping / 8
        if gained < ENOUGH * error + 1e-14:
            break
    return found, error
