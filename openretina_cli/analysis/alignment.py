"""How alike two stimuli are, whatever their sign and their place in time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Stimulus = NDArray[np.floating[Any]]

MOST_SHIFT = 3
"""A stimulus may be shifted by its length over this, either way; beyond, little of it is left to compare."""


class Alignment(NamedTuple):
    """How a stimulus is brought onto another.

    Attributes:
        cosine: between both, once they are aligned; grey moves in, and counts as a part that is not alike.
        sign: 1 or -1, what the stimulus is multiplied by.
        shift: frames by which it is moved, later where positive.
    """

    cosine: float
    sign: int
    shift: int


def align(stimulus: Stimulus, reference: Stimulus) -> Alignment:
    """The sign and the shift in time at which a stimulus has the largest cosine with a reference.

    Args:
        stimulus: `(channel, time, height, width)`.
        reference: of the same shape.
    """
    one, other = (_frames(values) for values in (reference, stimulus))
    frames, scale = len(one), float(np.linalg.norm(one) * np.linalg.norm(other))
    if scale == 0:
        return Alignment(0.0, 1, 0)
    products = one @ other.T
    shifts = sorted(range(-(frames // MOST_SHIFT), frames // MOST_SHIFT + 1), key=abs)  # of equal ones the smallest
    sums = np.array([products.trace(-shift) for shift in shifts]) / scale
    best = int(np.argmax(np.round(np.abs(sums), 9)))
    return Alignment(float(abs(sums[best])), 1 if sums[best] >= 0 else -1, shifts[best])


def _frames(stimulus: Stimulus) -> NDArray[np.float64]:
    """`(time, value)`."""
    return np.moveaxis(stimulus, 1, 0).reshape(stimulus.shape[1], -1).astype(np.float64)


def aligned(stimulus: Stimulus, how: Alignment) -> NDArray[np.float64]:
    """The stimulus with another sign and moved in time; grey moves in."""
    moved = np.zeros(stimulus.shape)
    frames = stimulus.shape[1]
    kept = slice(max(how.shift, 0), frames + min(how.shift, 0))
    source = slice(max(-how.shift, 0), frames + min(-how.shift, 0))
    moved[:, kept] = how.sign * stimulus[:, source].astype(np.float64)
    return moved
