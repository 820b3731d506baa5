"""Descriptions of stimuli have known answers: sizes, places, times, colours, and agreement between seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from openretina_cli.analysis.alignment import align, aligned
from openretina_cli.analysis.decomposition import decompose
from openretina_cli.analysis.description import NUMBERS, Scale, describe_colour, describe_parts
from openretina_cli.analysis.field import Field, fit_field

SCALE = Scale(30.0, 50.0)


def gaussian(row: float, column: float, sigma: float, size: tuple[int, int] = (18, 16)) -> NDArray[np.float64]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))


def film(course: NDArray[np.float64], picture: NDArray[np.float64]) -> NDArray[np.float32]:
    """A channel that is one time course times one picture."""
    return (course[:, None, None] * picture).astype(np.float32)


def biphasic(frames: int = 50) -> NDArray[np.float64]:
    """Dark by 0.5 in frames 30 to 37, light by 1 from 38 to 44."""
    course = np.zeros(frames)
    course[30:38], course[38:45] = -0.5, 1.0
    return course


# --- space -----------------------------------------------------------------------------------------------------------


@given(st.floats(3, 14), st.floats(3, 12), st.floats(0.8, 3.5), st.floats(0.2, 2))
def test_a_gaussian_has_its_size_and_place_and_no_surround(
    row: float, column: float, sigma: float, gain: float
) -> None:
    found = fit_field(gain * gaussian(row, column, sigma))
    assert isinstance(found, Field)
    # the model holds the picture exactly, so that only the end of the iteration is left
    assert (found.row, found.column, found.sigma) == pytest.approx((row, column, sigma), rel=1e-3)
    assert found.surround == pytest.approx(0, abs=0.02)
    assert found.explained == pytest.approx(1, abs=1e-6)


@given(st.floats(0.8, 2), st.floats(0.1, 0.25), st.floats(2.5, 4))
def test_a_surround_has_the_weight_that_was_given_to_it(sigma: float, depth: float, ratio: float) -> None:
    centre, around = gaussian(8, 7, sigma), depth * gaussian(8, 7, ratio * sigma)
    found = fit_field(centre - around)
    assert isinstance(found, Field)
    assert found.sigma == pytest.approx(sigma, rel=1e-2)
    assert found.surround == pytest.approx(around.sum() / centre.sum(), rel=0.05)


def test_noise_of_a_tenth_moves_size_and_place_by_little() -> None:
    noise = np.random.default_rng(1).normal(size=(18, 16))
    found = fit_field(gaussian(7.3, 5.6, 2) + 0.1 * noise)
    assert isinstance(found, Field)
    # the standard error of a Gaussian's place is 0.1 of a pixel here: noise 0.1, about 25 pixels in its centre
    assert (found.row, found.column, found.sigma) == pytest.approx((7.3, 5.6, 2), abs=0.4)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((18, 16)), "the channel is grey"),
        (np.ones((3, 9)), "too small for a fit"),
        (np.random.default_rng(0).normal(size=(18, 16)), "a centre with a surround explains"),
        (gaussian(8, 7, 30), "larger than the picture"),
    ],
)
def test_what_has_no_centre_says_why(picture: NDArray[np.float64], reason: str) -> None:
    found = fit_field(picture)
    assert isinstance(found, str)
    assert reason in found


def test_um_are_pixels_times_their_size_from_the_middle_of_the_field() -> None:
    part = decompose(film(biphasic(), gaussian(10.5, 5.5, 2)))
    (found,) = describe_parts([part], ["green"], SCALE).values()
    # the stimulus is float32
    assert found["centre_diameter_um"] == pytest.approx(2 * 2 * 50, rel=1e-3)
    assert (found["centre_down_um"], found["centre_right_um"]) == pytest.approx((2 * 50, -2 * 50), abs=0.1)
    assert found["reasons"] == {}


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_a_biphasic_course_has_its_two_peaks_and_their_difference(sign: int) -> None:
    (found,) = describe_parts([decompose(film(sign * biphasic(), gaussian(8, 7, 2)))], ["a"], SCALE).values()
    assert (found["previous_peak_s"], found["peak_s"]) == (30 / 30, 38 / 30)
    assert found["temporal_contrast"] == pytest.approx(sign * 1.5, rel=1e-5)


def test_frames_that_cannot_reach_the_score_do_not_count() -> None:
    (found,) = describe_parts(
        [decompose(film(biphasic(), gaussian(8, 7, 2)))], ["a"], Scale(30.0, 50.0, (0, 38))
    ).values()
    assert found["peak_s"] == 1.0
    assert found["temporal_contrast"] is None
    assert "no excursion of the other sign" in found["reasons"]["temporal_contrast"]


@pytest.mark.parametrize(
    ("frames", "scale", "missing"),
    [
        (1, SCALE, {"peak_s", "previous_peak_s", "temporal_contrast"}),
        (50, Scale(), set(NUMBERS) - {"surround_strength", "temporal_contrast"}),
    ],
)
def test_a_number_without_its_scale_is_none_and_says_why(frames: int, scale: Scale, missing: set[str]) -> None:
    course = biphasic() if frames == 50 else np.ones(1)
    (found,) = describe_parts([decompose(film(course, gaussian(8, 7, 2)))], ["a"], scale).values()
    assert set(found["reasons"]) == missing == {name for name in NUMBERS if found[name] is None}


# --- colour ----------------------------------------------------------------------------------------------------------


def angle(first: float, second: float) -> dict[str, float | str | None]:
    channels = np.stack([gain * film(biphasic(), gaussian(8, 7, 2)) for gain in (first, second)])
    return describe_colour(channels, [decompose(channel) for channel in channels], SCALE)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(1, 1, 45), (1, -1, -45), (-1, 1, -45), (1, 0, 0), (0, 1, 90), (-2, -1, 26.565)]
)
def test_the_angle_of_a_pair_is_that_of_its_contrasts(first: float, second: float, expected: float) -> None:
    found = angle(first, second)
    assert found["angle_deg"] == pytest.approx(expected, abs=1e-3)
    assert found["share"] == pytest.approx(1, abs=1e-9)


def test_a_surround_of_another_colour_hardly_turns_the_angle_of_the_centre() -> None:
    far = np.where(gaussian(8, 7, 2) < 0.01, 0.15, 0)
    channels = np.stack([film(biphasic(), gaussian(8, 7, 2) - depth * far) for depth in (0, 1)])
    found = describe_colour(channels, [decompose(channel) for channel in channels], SCALE)
    whole = np.degrees(np.arctan2(*np.linalg.norm(channels.reshape(2, -1), axis=1)[::-1]))
    assert whole > 48
    # the window leaves exp(-4.6) of the surround's power at most, which is a third of the centre's
    assert found["angle_deg"] == pytest.approx(45, abs=1)


def test_where_there_is_no_direction_of_colour_there_is_no_angle() -> None:
    later = np.roll(biphasic(), 15)
    channels = np.stack([film(np.roll(biphasic(), -15), gaussian(8, 7, 2)), film(later, gaussian(8, 7, 2))])
    found = describe_colour(channels, [decompose(channel) for channel in channels], SCALE)
    assert found == {
        "angle_deg": None,
        "share": pytest.approx(0.5),
        "reason": "the channels vary in no common direction",
    }
    grey = np.zeros((2, 5, 6, 6), np.float32)
    assert describe_colour(grey, [decompose(c) for c in grey], SCALE)["reason"] == "the stimulus is grey"
    assert "not 3" in str(describe_colour(np.ones((3, 5, 6, 6), np.float32), [], SCALE)["reason"])


# --- alignment -------------------------------------------------------------------------------------------------------


@given(st.sampled_from([1, -1]), st.integers(-10, 10), st.integers(0, 5))
def test_a_shifted_and_reversed_stimulus_is_found_again(sign: int, shift: int, seed: int) -> None:
    stimulus = np.zeros((2, 40, 4, 3))
    stimulus[:, 12:28] = np.random.default_rng(seed).normal(size=(2, 16, 4, 3))
    how = align(sign * np.roll(stimulus, shift, axis=1), stimulus)
    assert (how.cosine, how.sign, how.shift) == (pytest.approx(1), sign, -shift)
    np.testing.assert_allclose(aligned(sign * np.roll(stimulus, shift, axis=1), how), stimulus, atol=1e-12)


def test_grey_is_like_nothing_and_noise_is_little_alike() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 2, 50, 18, 16))
    assert align(np.zeros((1, 5, 2, 2)), np.ones((1, 5, 2, 2))) == (0.0, 1, 0)
    # of 33 cosines of 28800 values (standard deviation 0.006) the largest
    assert align(noise[0], noise[1]).cosine < 0.03
