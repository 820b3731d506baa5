"""What a stimulus is made of: one time course times one picture per channel, and the frequencies in the time course.

The decomposition is the one of Hoefling et al. 2024, eLife 13:e86860 (first singular vectors of the frames-by-pixels
matrix of a colour channel). It differs from theirs in its polarity rule, which looks at the component's own peak
instead of the middle of the picture, so that it also holds for cells whose receptive field lies off centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.field import Field, fit_field
from openretina_cli.errors import ArtifactError, UserError

LOWPASS_CUTOFF = 10.0  # Hz; retinal ganglion cells in these recordings carry nothing above it


@dataclass(frozen=True)
class RankOne:
    """The best approximation of one channel by a time course times a picture.

    Attributes:
        temporal: `(time,)`, in units of the stimulus; the amplitude lives here.
        spatial: `(height, width)`, in [-1, 1] without unit, +1 at its peak; all zero for an all-zero channel.
        explained_variance: share in [0, 1] of the channel's squared values that the approximation holds; deviations
            are taken from zero (mean grey), not from the channel's mean. 0 for an all-zero channel.
    """

    temporal: NDArray[np.float64]
    spatial: NDArray[np.float64]
    explained_variance: float

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column of the largest absolute value of the spatial component."""
        row, column = np.unravel_index(np.argmax(np.abs(self.spatial)), self.spatial.shape)
        return int(row), int(column)

    @cached_property
    def field(self) -> Field | str:
        """The centre and the surround of the picture, or why it has none; fitted once, see `fit_field`."""
        return fit_field(self.spatial)

    @property
    def approximation(self) -> NDArray[np.float64]:
        """The stimulus `(time, height, width)` rebuilt from the two components."""
        return self.temporal[:, None, None] * self.spatial


@dataclass(frozen=True)
class Spectrum:
    """The frequencies in a time course.

    Attributes:
        frequency: `(bin,)`, in the unit of the frame rate (Hz), from 0 up to the cutoff.
        amplitude: `(bin,)`, magnitude of each Fourier coefficient, in units of the time course.
        weighted_frequency: mean of `frequency` weighted by `amplitude`; 0 when there is no amplitude at all.
    """

    frequency: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    weighted_frequency: float


def stimulus_array(stimulus: Any) -> NDArray[np.float32]:
    """A numpy array or torch tensor `(channel, time, height, width)` as a checked float32 numpy array.

    Torch is recognised by its methods, so that drawing never has to import it.

    Raises:
        UserError: it does not have four axes, or one of them is empty.
        ArtifactError: it holds values that are not finite, which no picture can show.
    """
    if hasattr(stimulus, "detach"):
        stimulus = stimulus.detach().cpu().numpy()
    array = np.ascontiguousarray(stimulus, dtype=np.float32)
    if array.ndim != 4 or array.size == 0:
        raise UserError(
            f"cannot draw a stimulus of shape {array.shape}", expected="(channel, time, height, width), none of them 0"
        )
    if not np.isfinite(array).all():
        raise ArtifactError("cannot draw a stimulus that holds values which are not finite")
    return array


def decompose(channel: NDArray[np.floating[Any]]) -> RankOne:
    """First singular component of one channel.

    The sign that a singular value decomposition leaves open is chosen so that the spatial component is positive at its
    peak: a bright spot has a positive time course while it is bright.

    Args:
        channel: `(time, height, width)`.
    """
    frames, height, width = channel.shape
    flat = channel.reshape(frames, height * width).astype(np.float64)
    largest = np.abs(flat).max()
    if largest == 0.0:  # any unit vectors would do; an empty picture is the honest one
        return RankOne(np.zeros(frames), np.zeros((height, width)), 0.0)
    flat /= largest  # so that the squares of tiny stimuli do not underflow
    right = _first_right_vector(flat)
    course = flat @ right
    scale = np.abs(right).max() * _polarity(right)
    return RankOne(
        temporal=course * scale * largest,
        spatial=(right / scale).reshape(height, width),
        explained_variance=float(np.sum(course**2) / np.sum(flat**2)),
    )


def _first_right_vector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first right singular vector of a matrix that is not zero.

    It comes from the eigenvectors of the smaller of the two products of the matrix with itself, in a fraction of the
    time of a whole singular value decomposition, which spends most of it on components that are not asked for.
    """
    rows, columns = matrix.shape
    if rows > columns:
        right: NDArray[np.float64] = np.linalg.eigh(matrix.T @ matrix)[1][:, -1]
    else:
        right = np.linalg.eigh(matrix @ matrix.T)[1][:, -1] @ matrix
    right = (matrix @ right) @ matrix  # one more step of the power method takes away what squaring cost in digits
    unit: NDArray[np.float64] = right / np.linalg.norm(right)
    return unit


def _polarity(spatial: NDArray[np.float64]) -> float:
    """+1 or -1: the sign of the first pixel that comes within rounding of the peak.

    A perfectly antisymmetric picture has two peaks of opposite sign; without the margin, rounding would choose.
    """
    magnitude = np.abs(spatial)
    peak = np.flatnonzero(magnitude >= magnitude.max() * (1 - 1e-6))[0]
    return float(np.sign(spatial[peak]))


def amplitude_spectrum(
    temporal: NDArray[np.floating[Any]], frame_rate: float, cutoff: float = LOWPASS_CUTOFF
) -> Spectrum:
    """Amplitude spectrum of a time course, up to a cutoff.

    The mean is kept and counts at 0 Hz, as in the published analysis: a time course that hardly changes is a slow one.
    Differs from it in that frequencies above the cutoff are left out instead of being filtered, which needs neither a
    minimum number of frames nor a frame rate above twice the cutoff.

    Args:
        temporal: `(time,)`, any length from one frame on.
        frame_rate: Hz; 1.0 gives frequencies in cycles per frame.
        cutoff: highest frequency kept, in the unit of `frame_rate`; never above half the frame rate.
    """
    frequency: NDArray[np.float64] = np.fft.rfftfreq(len(temporal), 1.0 / frame_rate).astype(np.float64)
    amplitude: NDArray[np.float64] = np.abs(np.fft.rfft(temporal)) / len(temporal)
    kept = frequency <= cutoff * (1 + 1e-9)  # a bin that falls on the cutoff stays, whatever its last digit
    frequency, amplitude = frequency[kept], amplitude[kept]
    total = float(amplitude.sum())
    weighted = float(frequency @ amplitude) / total if total > 0 else 0.0
    return Spectrum(frequency, amplitude, weighted)
