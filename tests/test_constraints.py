"""Constraints: where they put a stimulus that is inside, on, outside, or zero; and what is optimal under them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from openretina_cli import (
    AbstractObjective,
    ChangeNorm,
    ChangeNormJointlyClipRangeSeparately,
    ClipRange,
    Constraint,
    NormAndRange,
    OptimizationStopper,
    Problem,
    TemporalGaussianLowPass,
    optimize_stack,
)
from openretina_cli.errors import SettingError

RANGES = [(-0.654, 6.269), (-0.913, 6.269)]
SHAPE = (2, 5, 4, 3)


class Linear(AbstractObjective):
    """A cell whose response is the product of the stimulus with a filter; its optimum is known."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__(lambda stimulus: (stimulus * weights).flatten(1).sum(1)[:, None, None], None)

    def score(self, response: Tensor) -> Tensor:
        return response[0, 0]


def noise(seed: int, std: float = 1.0, batch: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return std * torch.randn((batch, *SHAPE), generator=generator, dtype=dtype)


def norm(stimulus: Tensor) -> float:
    return float(torch.linalg.vector_norm(stimulus))


def solve(weights: Tensor, constraint: Constraint, start: Tensor, iterations: int = 50) -> Tensor:
    problem = Problem(
        start, Linear(weights), partial(torch.optim.SGD, lr=1.0), OptimizationStopper(iterations), [constraint]
    )
    return optimize_stack([problem])[0].stimulus


def test_a_linear_cell_under_a_norm_has_its_filter_as_optimum() -> None:
    weights = noise(1)[0]
    found = solve(weights, ChangeNorm(5.0), noise(2, 0.1)[0])
    cosine = float((found * weights).sum()) / norm(found) / norm(weights)
    assert cosine > 0.9999
    # one rescaling in float64
    assert norm(found) == pytest.approx(5.0, rel=1e-12)


@pytest.mark.parametrize("radius", [1.0, 4.0, 7.0])
def test_a_linear_cell_under_norm_and_range_has_the_convex_optimum(radius: float) -> None:
    weights = noise(3)[0]
    limits = [(-0.3, 1.0), (-0.5, 0.9)]
    found = solve(weights, NormAndRange(limits, radius), noise(4, 0.1)[0], iterations=300)

    low, high = (np.repeat([pair[side] for pair in limits], weights[0].numel()) for side in (0, 1))
    flat = weights.flatten().numpy()
    reachable = np.linalg.norm(np.where(flat > 0, high, low))

    def bound(price: float) -> float:
        """No stimulus in the range scores more, less what its squared norm above the one allowed costs (duality)."""
        best = np.clip(flat / (2 * price), low, high)
        return float(flat @ best - price * (best @ best - radius**2))

    lowest = scipy.optimize.minimize_scalar(bound, bounds=(1e-9, np.linalg.norm(flat)), options={"xatol": 1e-9})
    # The problem is convex, so its optimum is the lowest bound, which is flat there: prices off by 1e-9 hardly show.
    assert float(found.flatten().numpy() @ flat) == pytest.approx(bound(lowest.x), rel=1e-9)
    assert np.abs(found.flatten().numpy() - np.clip(flat / (2 * lowest.x), low, high)).max() < 1e-4
    assert bool((ClipRange(limits).process(found[None]) == found).all())
    assert norm(found) == pytest.approx(min(radius, reachable), rel=1e-9)


@pytest.mark.parametrize(
    "constraint",
    [
        ClipRange(RANGES),
        ChangeNorm(3.0),
        ChangeNorm(3.0, "at_most"),
        NormAndRange(RANGES, 3.0),
        NormAndRange(RANGES, 30.0),
        NormAndRange(RANGES, 3.0, "at_most"),
    ],
    ids=repr,
)
@given(seed=st.integers(0, 2**31), std=st.sampled_from([1e-3, 1.0, 100.0]))
@settings(max_examples=15)
def test_a_projection_done_twice_is_done_once(constraint: Constraint, seed: int, std: float) -> None:
    once = constraint.process(noise(seed, std))
    # float64 rounding of one rescaling
    torch.testing.assert_close(constraint.process(once), once, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 2**31), radius=st.floats(0.5, 20.0))
@settings(max_examples=30)
def test_norm_and_range_keeps_both_or_fills_the_range(seed: int, radius: float) -> None:
    start = noise(seed)
    found = NormAndRange(RANGES, radius).process(start)
    assert bool((ClipRange(RANGES).process(found) == found).all())
    filled = ClipRange(RANGES).process(start * 1e9)
    # float64 rounding of the sums of squares
    assert norm(found) == pytest.approx(min(radius, norm(filled)), rel=1e-9)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_norm_and_range_is_the_nearest_of_all_feasible_stimuli(seed: int) -> None:
    start = noise(seed, 2.0)
    constraint = NormAndRange(RANGES, 6.0)
    found = constraint.process(start)
    for other in noise(seed + 1, 1.0, batch=20):
        feasible = constraint.process(start + other[None])
        assert norm(found - start) <= norm(feasible - start) + 1e-9  # float64 rounding


def test_norm_and_range_leaves_a_feasible_stimulus_alone() -> None:
    feasible = NormAndRange(RANGES, 3.0).process(noise(5))
    torch.testing.assert_close(NormAndRange(RANGES, 3.0).process(feasible), feasible, rtol=1e-12, atol=0)


def test_a_norm_that_the_range_cannot_hold_is_reported() -> None:
    constraint = NormAndRange([(-0.1, 0.1)], 5.0)
    found = constraint.process(noise(6))
    assert "cannot be reached inside the range" in str(constraint.check(found))
    assert constraint.check(NormAndRange([(-0.1, 0.1)], 0.5).process(noise(6))) is not None
    assert NormAndRange([(-0.1, 0.1)], 0.5).check(NormAndRange([(-0.1, 0.1)], 0.5).process(noise(6))) is None


def test_clipping_that_breaks_the_norm_is_reported_above_one_percent() -> None:
    sparse = torch.zeros((1, *SHAPE))
    sparse[0, 0, 0, 0, 0] = 1.0
    constraint = ChangeNormJointlyClipRangeSeparately(RANGES, 30.0)
    found = constraint.process(sparse)
    assert norm(found) == pytest.approx(6.269)
    assert "6.269 where 30 was asked" in str(constraint.check(found))
    assert ChangeNorm(1.0).check(1.005 * ChangeNorm(1.0).process(noise(7))) is None


@pytest.mark.parametrize(
    "constraint",
    [
        ChangeNorm(5.0),
        ChangeNorm(5.0, "at_most"),
        ChangeNormJointlyClipRangeSeparately(RANGES, 5.0),
        NormAndRange(RANGES, 5.0),
        TemporalGaussianLowPass(0.5, 5),
    ],
    ids=repr,
)
def test_a_stimulus_of_zeros_stays_finite(constraint: Constraint) -> None:
    assert bool((constraint.process(torch.zeros((1, *SHAPE))) == 0).all())


@pytest.mark.parametrize(
    "constraint",
    [
        ChangeNorm(5.0),
        ChangeNormJointlyClipRangeSeparately(RANGES, 5.0),
        NormAndRange(RANGES, 5.0),
        NormAndRange(RANGES, 5.0, "at_most"),
        TemporalGaussianLowPass(0.5, 5),
        TemporalGaussianLowPass(0.5, 5, padding="zeros"),
        ClipRange([(-0.5, 0.5)]),
    ],
    ids=repr,
)
def test_stimuli_of_a_batch_do_not_touch(constraint: Constraint) -> None:
    batch = noise(8, batch=4) * torch.tensor([0.01, 1.0, 3.0, 50.0]).view(-1, 1, 1, 1, 1)
    before = batch.clone()
    together = constraint.process(batch)
    alone = torch.cat([constraint.process(row[None]) for row in batch])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-15)  # float64 rounding
    assert torch.equal(batch, before)


def test_a_non_contiguous_stimulus_is_no_problem() -> None:
    twisted = noise(9).transpose(-1, -2)
    for constraint in (ChangeNorm(5.0), NormAndRange([(-1.0, 1.0)], 5.0), TemporalGaussianLowPass(0.5, 3)):
        straight = constraint.process(twisted.contiguous())
        torch.testing.assert_close(constraint.process(twisted), straight)


def test_the_low_pass_keeps_a_constant_and_does_not_shift_time() -> None:
    constant = torch.ones((1, *SHAPE), dtype=torch.float64)
    torch.testing.assert_close(TemporalGaussianLowPass(0.7, 5).process(constant), constant)
    assert float(TemporalGaussianLowPass(0.7, 5, padding="zeros").process(constant)[0, 0, 0, 0, 0]) < 0.99
    impulse = torch.zeros((1, 1, 9, 1, 1), dtype=torch.float64)
    impulse[0, 0, 4] = 1.0
    smooth = TemporalGaussianLowPass(0.7, 5).process(impulse)[0, 0, :, 0, 0]
    torch.testing.assert_close(smooth, smooth.flip(0))
    assert int(smooth.argmax()) == 4


def test_one_range_serves_all_channels_and_a_wrong_number_is_refused() -> None:
    stimulus = noise(10)
    assert torch.equal(ClipRange([(-0.1, 0.1)]).process(stimulus), stimulus.clamp(-0.1, 0.1))
    with pytest.raises(SettingError, match="3 ranges were given for a stimulus of 2 channels"):
        ClipRange([(-1.0, 1.0)] * 3).process(stimulus)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ChangeNorm(0.0), "norm=0.0; expected a positive number"),
        (lambda: ChangeNorm(-1.0), "norm=-1.0; expected a positive number"),
        (lambda: ChangeNorm(float("nan")), "norm=nan; expected a positive number"),
        (lambda: ClipRange([(1.0, 0.0)]), "minimum <= maximum"),
        (lambda: NormAndRange([(0.5, 1.0)], 1.0), "leaves out 0"),
        (lambda: TemporalGaussianLowPass(0.5, 4), "kernel_size=4; expected an odd number"),
        (lambda: TemporalGaussianLowPass(0.0, 3), "sigma=0.0; expected a positive number"),
    ],
)
def test_impossible_constraints_are_refused(build: partial[Constraint], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        build()
