"""A stimulus is taken apart into the time course and the picture that it was made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openretina_cli.analysis.decomposition import amplitude_spectrum, decompose, stimulus_array
from openretina_cli.errors import ArtifactError, UserError

# The decomposition works in float64; a few hundred operations lose at most this much of a value near 1.
ROUNDING = 1e-12

stimuli = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
    # nothing so small that its square, or a share of it, is rounded to zero
    elements=st.floats(-6.0, 6.0).map(lambda value: value if abs(value) > 1e-6 else 0.0),
)


def spot(height: int, width: int, row: int, column: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 4.0)


def test_an_outer_product_gives_back_its_factors() -> None:
    time_course, picture = np.sin(np.arange(50) / 4.0), spot(18, 16, 5, 11)  # peak 1, off centre
    part = decompose(time_course[:, None, None] * picture)
    np.testing.assert_allclose(part.temporal, time_course, atol=ROUNDING)
    np.testing.assert_allclose(part.spatial, picture, atol=ROUNDING)
    assert part.explained_variance == pytest.approx(1.0, abs=ROUNDING)
    assert part.peak == (5, 11)


def test_a_dark_spot_in_the_corner_is_a_positive_picture_that_is_switched_negative() -> None:
    """A rule that looks at the middle of the picture cannot tell; the rule looks at the peak."""
    part = decompose(-spot(18, 16, 0, 15)[None] * np.array([0.0, 1.0, 2.0])[:, None, None])
    assert part.spatial[0, 15] == 1.0
    np.testing.assert_allclose(part.temporal, [0.0, -1.0, -2.0], atol=ROUNDING)


def test_explained_variance_of_two_orthogonal_components_is_their_share_of_the_power() -> None:
    stimulus = np.zeros((2, 1, 2))
    stimulus[0, 0, 0], stimulus[1, 0, 1] = 3.0, 1.0
    assert decompose(stimulus).explained_variance == pytest.approx(9 / 10, abs=ROUNDING)


def test_an_antisymmetric_picture_has_the_same_polarity_whichever_peak_rounding_favours() -> None:
    time_course = np.array([1.0, 2.0])[:, None, None]
    for nudge in (1 + 1e-12, 1 - 1e-12):
        assert decompose(time_course * np.array([[[1.0, -nudge]]])).temporal[0] > 0


@pytest.mark.parametrize("value", [0.0, 1e-30, -2.0])
@pytest.mark.parametrize("frames", [1, 7])
def test_constant_stimuli_have_a_flat_picture(value: float, frames: int) -> None:
    part = decompose(np.full((frames, 4, 3), value, dtype=np.float32))
    np.testing.assert_allclose(part.spatial, 1.0 if value else 0.0, atol=ROUNDING)
    np.testing.assert_allclose(part.temporal, np.float32(value), rtol=ROUNDING)
    assert part.explained_variance == pytest.approx(1.0 if value else 0.0, abs=ROUNDING)


@settings(max_examples=60)
@given(stimuli)
def test_no_other_rank_one_stimulus_is_nearer(stimulus: np.ndarray) -> None:
    """The squared error is the rest of the power (Eckart and Young), and the picture is scaled to its peak."""
    part = decompose(stimulus)
    power = float(np.sum(stimulus**2))
    error = float(np.sum((stimulus - part.approximation) ** 2))
    # both sides are sums of squares of size `power`, each with the rounding of one float64 factorisation
    assert error == pytest.approx(power * (1 - part.explained_variance if power else 0.0), abs=1e-10 * (power or 1))
    assert np.abs(part.spatial).max() == (pytest.approx(1.0, abs=ROUNDING) if part.temporal.any() else 0.0)
    assert 0.0 <= part.explained_variance <= 1.0 + ROUNDING
    assert part.explained_variance >= 1.0 / min(len(stimulus), stimulus[0].size) - ROUNDING or not power


@settings(max_examples=30)
@given(stimuli, st.floats(0.1, 10.0))
def test_amplitude_lives_in_the_time_course_alone(stimulus: np.ndarray, factor: float) -> None:
    """A fixed picture times a time course; scaling it scales the time course and leaves the picture."""
    channel = stimulus[:, :1, :1] * spot(5, 4, 2, 1)
    part, scaled = decompose(channel), decompose(factor * channel)
    np.testing.assert_allclose(scaled.temporal, factor * part.temporal, atol=1e-10)  # values up to 60
    np.testing.assert_allclose(scaled.spatial, part.spatial, atol=1e-10)


@pytest.mark.parametrize(("frames", "rate"), [(50, 30.0), (45, 15.0), (300, 75.0)])
def test_a_sine_has_its_own_frequency(frames: int, rate: float) -> None:
    frequency = 3 * rate / frames  # three whole periods, so that one bin holds everything
    spectrum = amplitude_spectrum(2.0 * np.sin(2 * np.pi * frequency * np.arange(frames) / rate), rate)
    assert spectrum.weighted_frequency == pytest.approx(frequency, abs=1e-9)  # other bins hold rounding only
    assert spectrum.amplitude.max() == pytest.approx(1.0, abs=ROUNDING)  # the other half is at minus the frequency
    assert spectrum.frequency.max() <= min(10.0, rate / 2)


def test_frequencies_above_the_cutoff_do_not_count() -> None:
    time = np.arange(60) / 60.0
    low, high = np.sin(2 * np.pi * 4 * time), np.sin(2 * np.pi * 20 * time)
    assert amplitude_spectrum(low + high, 60.0).weighted_frequency == pytest.approx(4.0, abs=1e-9)
    assert amplitude_spectrum(low + high, 60.0, cutoff=30.0).weighted_frequency == pytest.approx(12.0, abs=1e-9)


def test_the_mean_counts_at_zero_hertz() -> None:
    """Mean 1 and a sine of amplitude 2 (coefficient 1 in the half that is kept) weigh the same."""
    course = 1.0 + 2.0 * np.sin(2 * np.pi * 4 * np.arange(60) / 60.0)
    assert amplitude_spectrum(course, 60.0).weighted_frequency == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 19])
@pytest.mark.parametrize("rate", [1.0, 5.0, 30.0])
def test_short_and_slow_time_courses_have_a_spectrum(frames: int, rate: float) -> None:
    for course in (np.zeros(frames), np.ones(frames)):
        spectrum = amplitude_spectrum(course, rate)
        assert spectrum.weighted_frequency == pytest.approx(0.0, abs=ROUNDING * rate)
        assert np.isfinite(spectrum.amplitude).all()


def test_a_tensor_that_wants_gradients_is_taken_as_it_is() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(24.0).reshape(1, 2, 3, 4).requires_grad_()
    np.testing.assert_array_equal(stimulus_array(tensor), np.arange(24.0).reshape(1, 2, 3, 4))
    assert tensor.requires_grad


@pytest.mark.parametrize("shape", [(50, 18, 16), (1, 2, 50, 18, 16), (2, 0, 18, 16)])
def test_a_stimulus_of_another_shape_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"channel, time, height, width"):
        stimulus_array(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ArtifactError, match="not finite"):
        stimulus_array(np.full((1, 1, 1, 1), value))
