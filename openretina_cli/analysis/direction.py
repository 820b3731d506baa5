"""Direction and orientation selectivity: vector sums of tuning curves, and a permutation test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DIRECTION, ORIENTATION = 1, 2
"""Harmonics: a direction comes back after one turn, an orientation after half a turn."""


def strengths(traces: Values) -> Values:
    """Tuning curves `(direction, neuron)` of traces `(direction, time, neuron)`: the norm of each over time.

    Where the time course is the same in all directions, this is the tuning curve that the singular value decomposition
    of Baden et al. 2016 (doi:10.1038/nature16468) finds. Unlike it, the norm does not need the stimulus to pass the
    cell at the same time from every side, which in a twin only cells in the middle of the field grant.
    """
    norms: Values = np.sqrt(np.square(traces).sum(1))
    return norms


def vector_sum(strength: Values, angles: Values, harmonic: int) -> tuple[Values, Values]:
    """Selectivity index and preferred angle of tuning curves.

    The index is `|sum R exp(i n a)| / sum R` (Baden et al. 2016; one minus the circular variance of Mazurek et al.
    2014, doi:10.3389/fncir.2014.00092).

    Args:
        strength: `(direction, neuron)`, not negative.
        angles: `(direction,)`, radians.
        harmonic: `DIRECTION` or `ORIENTATION`.

    Returns:
        Index `(neuron,)` from 0 to 1, and angle `(neuron,)` in degrees from 0 to 360 / harmonic; NaN for a neuron
        without any response.
    """
    total = strength.sum(0)
    vector = np.exp(1j * harmonic * angles) @ strength
    with np.errstate(invalid="ignore", divide="ignore"):
        index = np.where(total > 0, np.abs(vector) / total, np.nan)
    angle = np.degrees(np.angle(vector)) / harmonic % (360 / harmonic)
    return index, np.where(total > 0, angle, np.nan)


def noise_of_quality(traces: Values, quality: float, repeats: int) -> Values:
    """The noise with which a recording of a cell would have a quality index.

    The index of Baden et al. 2016 is the variance over time of the mean over repeats, divided by the mean over repeats
    of the variance over time. With signal variance S and independent noise of variance N in each of n repeats it is
    `(S + N / n) / (S + N)`, which gives `N = S (1 - q) / (q - 1 / n)`. S is taken about the response to the background,
    so that a cell whose response merely shifts has a signal as well.

    Args:
        traces: `(direction, time, neuron)`, changes from the background, without noise.
        quality: of the recording, above 1 / repeats.
        repeats: of each direction.

    Returns:
        Standard deviation `(neuron,)` of the noise of a frame in one repeat, which is also that of the norm of a trace
        along its own time course.
    """
    variance = np.square(traces).mean((0, 1))
    noise: Values = np.sqrt(variance * (1 - quality) / (quality - 1 / repeats))
    return noise


def permutation_p(
    strength: Values,
    angles: Values,
    harmonic: int,
    noise: Values,
    repeats: int,
    permutations: int,
    rng: np.random.Generator,
) -> Values:
    """How often trials whose directions are shuffled have at least the selectivity index of a tuning curve.

    Trials are the tuning curve with noise, which is drawn anew for every shuffle. The p value is
    `(1 + number of such shuffles) / (1 + permutations)` (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585). The index
    that is tested is that without noise: a twin has none, so that only the shuffles stand for a recording.

    Args:
        strength: `(direction, neuron)`.
        angles: `(direction,)`, radians.
        harmonic: `DIRECTION` or `ORIENTATION`.
        noise: `(neuron,)`, standard deviation of one trial.
        repeats: trials of each direction.
        permutations: shuffles (Baden et al. 2016: 1000).
        rng: draws noise and shuffles.

    Returns:
        `(neuron,)`; NaN for a neuron without any response.
    """
    index, _ = vector_sum(strength, angles, harmonic)
    labels = np.repeat(np.exp(1j * harmonic * angles), repeats)
    shuffled = rng.permuted(np.tile(labels, (permutations, 1)), axis=1)
    # what noise of unit variance adds, the same for all neurons, so that p does not depend on who else is asked
    added = (shuffled * rng.standard_normal(shuffled.shape)).sum(1)
    null = np.abs(shuffled @ np.repeat(strength, repeats, axis=0) + added[:, None] * noise)
    exceeding = (null >= index * strength.sum(0) * repeats).sum(0)
    return np.where(np.isfinite(index), (1 + exceeding) / (1 + permutations), np.nan)
