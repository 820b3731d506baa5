"""A stimulus in a few numbers: its time course, its centre and surround, its colour; None, and why, for what is none.

docs/descriptions.md has the definitions with their sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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

LEAST_LOBE = 0.1
"""Share of the largest excursion below which an excursion of the other sign is none: noise of the start is as large."""
LEAST_SHARE = 0.6
"""Share of power along one direction of colour below which there is no direction; 0.5 is a circle."""

SPACE = ("centre_diameter_um", "centre_right_um", "centre_down_um", "surround_strength")
TIME = ("peak_s", "previous_peak_s", "temporal_contrast")
NUMBERS = (*SPACE, *TIME)
"""Numbers of a channel that may mean nothing; `reasons` then says why."""


@dataclass(frozen=True)
class Scale:
    """What turns frames and pixels into s and um.

    Attributes:
        frame_rate: Hz, or None where it is not known.
        pixel_size: um, or None where it is not known.
        seen: stimulus frames `[start, stop)` that reach the score; None means all.
    """

    frame_rate: float | None = None
    pixel_size: float | None = None
    seen: tuple[int, int] | None = None


def describe_stimulus(
    stimulus: Any, channels: Sequence[str], frame_rate: float | None, pixel_size: float | None = None
) -> dict[str, Any]:
    """The numbers of a stimulus `(channel, time, height, width)`, see `describe_parts`.

    Raises:
        UserError: the stimulus does not have the four axes.
        ArtifactError: it holds values that are not finite.
        ValueError: there are more or fewer names than channels.
    """
    parts = [decompose(channel) for channel in stimulus_array(stimulus)]
    return describe_parts(parts, channels, Scale(frame_rate, pixel_size))


def describe_parts(parts: Sequence[RankOne], channels: Sequence[str], scale: Scale) -> dict[str, Any]:
    """The numbers of each channel, as plain values that JSON takes; None where a number means nothing.

    Per channel:
        explained_variance: share in [0, 1] of the squared values that the first singular component holds.
        centre_frequency_hz: mean frequency of its time course up to 10 Hz, weighted by the amplitude (Hoefling et al.
            2024, eLife 13:e86860).
        polarity: "on" where the largest excursion of its time course from grey is to the light side, "off" where it is
            to the dark side, at the peak of its picture. This is the definition by which `openretina validate` tells ON
            from OFF on the simulated retina (largest excursion from grey at the cell's centre), with the picture's peak
            in place of the cell's centre, which only a simulation knows, and with the channels apart.
        centre_diameter_um: two standard deviations of the centre that `fit_field` fits to its picture (the 1-sd circle
            of Chichilnisky and Kalmar 2002, doi 10.1523/JNEUROSCI.22-07-02737.2002).
        centre_right_um, centre_down_um: from the middle of the field to that of the centre.
        surround_strength: see `analysis.field.Field`.
        peak_s: when the largest excursion of the time course begins, among the frames that reach the score.
        previous_peak_s: the same of the largest excursion of the other sign before it.
        temporal_contrast: the former excursion less the latter, in standard deviations of the training set (Hoefling
            et al. 2024 take the last two peaks in the centre).
        reasons: by name, why a number is None.

    Args:
        parts: what `decompose` makes of each channel.
        channels: their names.
        scale: frames in s, and pixels in um.
    """
    return {
        channel: {
            "explained_variance": part.explained_variance,
            "centre_frequency_hz": _centre_frequency(part.temporal, scale.frame_rate),
            "polarity": polarity(part),
            **_numbers(part, scale),
        }
        for channel, part in zip(channels, parts, strict=True)
    }


def _numbers(part: RankOne, scale: Scale) -> dict[str, Any]:
    found = {**_of_space(part, scale), **_of_time(part.temporal, scale)}
    known = {name: value if isinstance(value, float) else None for name, value in found.items()}
    return {**known, "reasons": {name: value for name, value in found.items() if isinstance(value, str)}}


def _of_space(part: RankOne, scale: Scale) -> dict[str, float | str]:
    field, shape = part.field, part.spatial.shape
    if isinstance(field, str):
        return dict.fromkeys(SPACE, field)
    if scale.pixel_size is None:
        return {**dict.fromkeys(SPACE, "the size of a pixel is not known"), "surround_strength": field.surround}
    middle = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    pixels = (2 * field.sigma, field.column - middle[1], field.row - middle[0])
    return {
        **{name: scale.pixel_size * value for name, value in zip(SPACE, pixels, strict=False)},
        "surround_strength": field.surround,
    }


def _of_time(course: NDArray[np.float64], scale: Scale) -> dict[str, float | str]:
    start, stop = scale.seen or (0, len(course))
    seen = course[start:stop]
    if not seen.any():
        return dict.fromkeys(TIME, "the channel is grey")
    if len(course) < 2:
        return dict.fromkeys(TIME, "a single frame has no time")
    last = int(np.argmax(np.abs(seen)))
    earlier = -np.sign(seen[last]) * seen[:last]
    first = int(np.argmax(earlier)) if last else 0
    biphasic = last > 0 and earlier[first] >= LEAST_LOBE * abs(seen[last])
    alone = "no excursion of the other sign comes before the largest"
    times: list[float | str] = ["the frame rate is not known"] * 2
    if scale.frame_rate:
        times = [(start + last) / scale.frame_rate, (start + first) / scale.frame_rate if biphasic else alone]
    contrast = float(seen[last] - seen[first]) if biphasic else alone
    return dict(zip(TIME, (*times, contrast), strict=True))


def describe_colour(
    stimulus: NDArray[np.float32], parts: Sequence[RankOne], scale: Scale
) -> dict[str, float | str | None]:
    """The colour of a stimulus of two channels: the direction in which their values vary together most.

    The channels' values in the centre of the stronger one (weighted by the Gaussian that is fitted to it, and all alike
    where none is) are points in a plane. Their first principal axis has the angle: 0 degrees for the first channel
    alone, 90 for the second alone, 45 for both alike, and below zero where one brightens as the other darkens, -45 for
    an opponent pair of equal contrast. Its distance from 45 is the chromatic asymmetry of Hoefling et al. 2024 (eLife
    13:e86860), which they measure as an angle from the diagonal, too.

    Args:
        stimulus: `(channel, time, height, width)`.
        parts: what `decompose` makes of each channel.
        scale: which frames reach the score.

    Returns:
        `angle_deg` in (-90, 90], `share` of the power along the axis, and `reason` where there is no angle.
    """
    if len(stimulus) != 2:
        return _no_angle(f"an angle is of two channels, not {len(stimulus)}")
    start, stop = scale.seen or (0, stimulus.shape[1])
    strongest = max(range(2), key=lambda index: float(np.square(parts[index].temporal).sum()))
    field = parts[strongest].field
    weights = np.ones(stimulus.shape[2:]) if isinstance(field, str) else field.window(*stimulus.shape[2:])
    points = (stimulus[:, start:stop].astype(np.float64) * np.sqrt(weights)).reshape(2, -1)
    powers, axes = np.linalg.eigh(points @ points.T)
    if powers[1] <= 0:
        return _no_angle("the stimulus is grey")
    share = float(powers[1] / powers.sum())
    if share < LEAST_SHARE:
        return _no_angle("the channels vary in no common direction", share)
    angle = math.degrees(math.atan2(axes[1, 1], axes[0, 1]))
    return {"angle_deg": 90 - (90 - angle) % 180, "share": share, "reason": None}


def _no_angle(reason: str, share: float | None = None) -> dict[str, float | str | None]:
    return {"angle_deg": None, "share": share, "reason": reason}


def polarity(part: RankOne) -> str | None:
    """ON or OFF: the sign of the largest excursion of the time course; the picture is positive at its peak."""
    excursion = float(part.temporal[np.argmax(np.abs(part.temporal))])
    return None if excursion == 0.0 else ON if excursion > 0 else OFF


def _centre_frequency(temporal: NDArray[np.float64], frame_rate: float | None) -> float | None:
    if not frame_rate or len(temporal) < 2 or not temporal.any():
        return None
    return amplitude_spectrum(temporal, frame_rate, LOWPASS_CUTOFF).weighted_frequency
