"""What a matrix of responses says: normalised rows, selectivity of every stimulus, and which stimulus drives whom most.

A matrix is `(neuron, stimulus)`. Types are labels of neurons, and a stimulus has the type that it was made for. An
empty label means that there is none. Values that are not finite are left out of every mean and comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NORMALISATIONS = ("raw", "zscore", "share")


def zscored(matrix: Matrix) -> Matrix:
    """Every row minus its mean, divided by its standard deviation (of the population) over stimuli.

    A row that does not vary, up to rounding of float32, is NaN, for its scores would be noise.
    """
    spread = matrix.std(axis=1, keepdims=True) if matrix.shape[1] else np.zeros((len(matrix), 1))
    varies = spread > 1e-6 * np.abs(matrix).max(axis=1, keepdims=True, initial=0)
    return np.where(varies, (matrix - matrix.mean(axis=1, keepdims=True)) / np.where(varies, spread, 1), np.nan)


def share_of(matrix: Matrix, own: Sequence[int]) -> Matrix:
    """Every row divided by its response to one of the stimuli.

    Args:
        matrix: `(neuron, stimulus)`.
        own: by neuron, the position of that stimulus, or -1 where there is none.

    Returns:
        The shares; NaN where a neuron has no such stimulus, or a response to it that is not above zero.
    """
    column = np.asarray(own)
    reference = np.where(column >= 0, matrix[np.arange(len(matrix)), column], np.nan)[:, None]
    sound = reference > 0
    return np.where(sound, matrix / np.where(sound, reference, 1), np.nan)


def own_stimuli(
    matrix: Matrix, made_for: NDArray[np.bool_], neurons: Sequence[str], stimuli: Sequence[str]
) -> list[int]:
    """The stimulus of every neuron: one made for it alone, else one made for its type; of several the most driving.

    Args:
        matrix: `(neuron, stimulus)`.
        made_for: `(neuron, stimulus)`, whether a stimulus was made to excite just that neuron.
        neurons: type of every neuron.
        stimuli: type of every stimulus made to excite, and an empty text for the others.

    Returns:
        Positions, -1 where there is no such stimulus.
    """
    types = np.asarray(stimuli)
    found = []
    for row, alone, label in zip(matrix, made_for, neurons, strict=True):
        wanted = alone if alone.any() else (types == label) & (label != "")
        chosen = np.flatnonzero(wanted & np.isfinite(row))
        found.append(int(chosen[np.argmax(row[chosen])]) if len(chosen) else -1)
    return found


def _mean(values: Matrix) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def auc(own: Matrix, other: Matrix) -> float:
    """Area under the ROC curve: the chance that a value of `own` is above one of `other`, ties counting half.

    Source: Mann and Whitney 1947, doi 10.1214/aoms/1177730491 (U divided by the number of pairs). NaN without values.
    """
    first, second = own[np.isfinite(own)], np.sort(other[np.isfinite(other)])
    if not len(first) or not len(second):
        return float("nan")
    below, reached = (np.searchsorted(second, first, side=side) for side in ("left", "right"))
    return float((below + reached).sum() / (2 * len(first) * len(second)))


@dataclass(frozen=True)
class Selectivity:
    """How much one stimulus drives the type that it was made for, and others.

    Attributes:
        own: mean over neurons of its own type; NaN where it has none.
        other_type: the other type with the largest mean; empty where there is none.
        other: mean over the neurons of that type.
        auc: chance that a neuron of the own type responds more than one of the best other type.
        auc_all: the same against the neurons of all other types.
    """

    own: float
    other_type: str
    other: float
    auc: float
    auc_all: float

    @property
    def trapped(self) -> bool:
        """Whether the stimulus drives another type more than its own."""
        return self.other > self.own


def type_means(matrix: Matrix, neurons: Sequence[str]) -> tuple[list[str], Matrix]:
    """The types in order of appearance, and the mean response of each `(type, stimulus)`, NaN without values."""
    labels = [label for label in dict.fromkeys(neurons) if label]
    place = {label: index for index, label in enumerate(labels)}
    rows = np.array([place.get(label, len(labels)) for label in neurons], int)
    known = np.isfinite(matrix)
    sums, counts = (np.zeros((len(labels) + 1, matrix.shape[1])) for _ in range(2))
    np.add.at(sums, rows, np.where(known, matrix, 0))
    np.add.at(counts, rows, known)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return labels, means[:-1]


def selectivities(matrix: Matrix, neurons: Sequence[str], stimuli: Sequence[str]) -> list[Selectivity]:
    """How selective every stimulus is, see `Selectivity`."""
    labels, means = type_means(matrix, neurons)
    rows, names = np.asarray(neurons), np.asarray(labels)
    return [_selectivity(matrix[:, i], rows, names, means[:, i], own) for i, own in enumerate(stimuli)]


def _selectivity(
    column: Matrix, rows: NDArray[np.str_], labels: NDArray[np.str_], means: Matrix, own: str
) -> Selectivity:
    mine = column[(rows == own) & (own != "")]
    others = np.flatnonzero((labels != own) & np.isfinite(means))
    if not len(others):
        return Selectivity(_mean(mine), "", np.nan, np.nan, np.nan)
    best = others[np.argmax(means[others])]
    rest = column[(rows != own) & (rows != "")]
    against = column[rows == labels[best]]
    return Selectivity(_mean(mine), str(labels[best]), float(means[best]), auc(mine, against), auc(mine, rest))


def confusion(matrix: Matrix, neurons: Sequence[str], stimuli: Sequence[str]) -> tuple[list[str], list[str], Matrix]:
    """For every type of neuron, the share of its neurons that each type of stimulus drives most.

    The stimuli of one type count by their mean, so that it does not matter how many there are. Every neuron is compared
    with itself only, so that gains of neurons do not matter.

    Returns:
        Types of neurons, types of stimuli (both in order of appearance), and shares `(type, type of stimulus)`; rows
        sum to 1, or are NaN where no neuron of the type has finite responses.
    """
    kinds, columns = type_means(matrix.T, stimuli)
    labels = [label for label in dict.fromkeys(neurons) if label]
    shares = np.full((len(labels), len(kinds)), np.nan)
    rows = np.asarray(neurons)
    known = np.isfinite(columns).all(axis=0)
    for place, label in enumerate(labels):
        chosen = (rows == label) & known
        if kinds and chosen.any():
            best = columns[:, chosen].argmax(axis=0)
            shares[place] = np.bincount(best, minlength=len(kinds)) / chosen.sum()
    return labels, kinds, shares
