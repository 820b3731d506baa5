"""A stimulus in a few numbers: how well one time course and one picture describe it, how fast it is, ON or OFF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import (
    LOWPASS_CUTOFF,
    RankOne,
    amplitude_spectrum,
    decompose,
    stimulus_array,
)

ON, OFF = "on", "off"


def describe_stimulus(stimulus: Any, channels: Sequence[str], frame_rate: float | None) -> dict[str, Any]:
    """The numbers of a stimulus, as plain values that JSON takes.

    Per channel:
        explained_variance: share in [0, 1] of the squared values that the first singular component holds.
        centre_frequency_hz: mean frequency of its time course up to 10 Hz, weighted by the amplitude (Hoefling et al.
            2024, eLife 13:e86860); None without a frame rate, for a single frame, and for a channel of zeros.
        polarity: "on" where the largest excursion of its time course from grey is to the light side, "off" where it is
            to the dark side, at the peak of its picture; None for a channel of zeros. This is the definition by which
            `openretina validate` tells ON from OFF on the simulated retina (largest excursion from grey at the cell's
            centre), with the picture's peak in place of the cell's centre, which only a simulation knows, and with the
            channels apart instead of averaged.

    Args:
        stimulus: `(channel, time, height, width)`, a torch tensor or numpy array.
        channels: their names.
        frame_rate: Hz, or None where it is not known.

    Returns:
        `{channel: {"explained_variance": ..., "centre_frequency_hz": ..., "polarity": ...}}`.

    Raises:
        UserError: the stimulus does not have the four axes.
        ArtifactError: it holds values that are not finite.
        ValueError: there are more or fewer names than channels.
    """
    parts = [decompose(channel) for channel in stimulus_array(stimulus)]
    return describe_parts(parts, channels, frame_rate)


def describe_parts(parts: Sequence[RankOne], channels: Sequence[str], frame_rate: float | None) -> dict[str, Any]:
    """The numbers of `describe_stimulus`, for a stimulus that has been taken apart already."""
    return {
        channel: {
            "explained_variance": part.explained_variance,
            "centre_frequency_hz": _centre_frequency(part.temporal, frame_rate),
            "polarity": polarity(part),
        }
        for channel, part in zip(channels, parts, strict=True)
    }


def polarity(part: RankOne) -> str | None:
    """ON or OFF: the sign of the largest excursion of the time course; the picture is positive at its peak."""
    excursion = float(part.temporal[np.argmax(np.abs(part.temporal))])
    return None if excursion == 0.0 else ON if excursion > 0 else OFF


def _centre_frequency(temporal: NDArray[np.float64], frame_rate: float | None) -> float | None:
    if not frame_rate or len(temporal) < 2 or not temporal.any():
        return None
    return amplitude_spectrum(temporal, frame_rate, LOWPASS_CUTOFF).weighted_frequency
