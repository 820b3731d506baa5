"""Tuning around a stimulus: a linear cell gives the grid, the iso-lines and the arrows that algebra gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from openretina_cli.analysis.tuning import (
    colour_axis,
    colour_pairs,
    colour_weights,
    disc_radii,
    discs,
    equal_norms,
    iso_lines,
    middle,
    percent_of_maximum,
    scaled,
    shifted,
    shifts,
)
from openretina_cli.finding.runs import Stimulus
from openretina_cli.finding.tuning import Tuner, colour_responses, respond_to
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.store.result import result_of_tree

CPU = torch.device("cpu")


def stimulus(channels: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(channels, 5, 6, 4)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_linear_cell_gives_the_analytic_grid_and_arrows(channels: int) -> None:
    shape, weights = stimulus(channels), stimulus(channels, seed=1)
    basis = equal_norms(shape)
    # what one unit of contrast of each channel adds
    gains = np.einsum("cthw,cthw->c", basis.astype(np.float64), weights)
    for pair in colour_pairs(channels):
        grid = colour_weights(channels, pair, 11)
        assert len(grid) == (11 if channels == 1 else 121)
        found, slopes = colour_responses(lambda x: (x * torch.from_numpy(weights)).sum((1, 2, 3, 4)), basis, grid, CPU)
        # float32 sums of some hundred products of order one
        np.testing.assert_allclose(found, grid @ gains, atol=1e-4)
        np.testing.assert_allclose(slopes, np.broadcast_to(gains, slopes.shape), atol=1e-4)


def test_iso_lines_of_a_linear_cell_are_straight_and_at_right_angles_to_its_arrows() -> None:
    axis, gains = colour_axis(11), np.array([2.0, -3.0])
    grid = (colour_weights(2, (0, 1), 11) @ gains).reshape(11, 11)
    (line,) = iso_lines(axis, grid, 1.0)
    # linear interpolation of a linear function is exact up to rounding of float64
    np.testing.assert_allclose(line @ gains, 1.0, atol=1e-12)
    np.testing.assert_allclose(np.diff(line, axis=0) @ gains, 0, atol=1e-12)
    assert np.abs(line).max() == pytest.approx(1, abs=1e-12), "it runs to the edge"
    assert iso_lines(axis, grid, 6.0) == []


def test_the_grid_of_a_symmetric_cell_is_symmetric() -> None:
    basis = equal_norms(np.repeat(stimulus(1), 2, axis=0))
    grid, slopes = colour_responses(lambda x: x.square().sum((1, 2, 3, 4)), basis, colour_weights(2, (0, 1), 11), CPU)
    table = grid.reshape(11, 11)
    for same in (table.T, table[::-1], table[:, ::-1]):
        # the same float32 terms, summed in another order
        np.testing.assert_allclose(table, same, rtol=1e-5)
    np.testing.assert_allclose(slopes.reshape(11, 11, 2)[5, 5], 0, atol=1e-6)


@given(st.integers(1, 4), st.integers(0, 20))
def test_equal_norms_keep_the_joint_norm_and_the_shapes(channels: int, seed: int) -> None:
    shape = stimulus(channels, seed)
    equal = equal_norms(shape)
    norms = np.linalg.norm(equal.reshape(channels, -1), axis=1)
    # float32 values
    np.testing.assert_allclose(norms, np.linalg.norm(shape) / np.sqrt(channels), rtol=1e-5)
    own = np.linalg.norm(shape.reshape(channels, -1), axis=1)
    for before, after, was, now in zip(shape, equal, own, norms, strict=True):
        np.testing.assert_allclose(after / now, before / was, atol=1e-5)


def test_a_channel_of_zeros_stays_zero() -> None:
    shape = stimulus(2)
    shape[1] = 0
    np.testing.assert_allclose(equal_norms(shape), shape, rtol=1e-6)


def test_discs_grow_from_one_pixel_to_the_whole_field() -> None:
    shape = stimulus(2)
    shape[:, :, 2, 3] *= 100
    centre = middle(shape)
    assert centre == (2, 3)
    stack = discs(shape, centre, disc_radii(6, 4, centre, 9))
    lit = (stack != 0).any(axis=(1, 2)).sum(axis=(1, 2))
    assert lit[0] == 1
    assert (np.diff(lit) >= 0).all()
    np.testing.assert_array_equal(stack[-1], shape)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_shifts_move_whole_steps_and_bring_in_grey(axis: int) -> None:
    shape = stimulus(2)
    moved = shifted(shape, axis, [-1, 0, 2])
    length = shape.shape[axis]
    np.testing.assert_array_equal(moved[1], shape)
    np.testing.assert_array_equal(moved[2].take(range(2, length), axis), shape.take(range(length - 2), axis))
    assert not moved[2].take([0, 1], axis).any()
    np.testing.assert_array_equal(moved[0].take(range(length - 1), axis), shape.take(range(1, length), axis))
    assert not moved[0].take([length - 1], axis).any()


@given(st.integers(1, 100), st.integers(3, 51))
def test_shifts_are_symmetric_different_and_not_more_than_asked_for(length: int, points: int) -> None:
    steps = shifts(length, points)
    assert 0 in steps
    assert [-step for step in steps[::-1]] == steps
    assert len(steps) == len(set(steps)) <= points
    assert steps[-1] == (max(length // 3, 1) if length > 1 else 0)


def test_contrast_scales_and_percent_refers_to_the_largest() -> None:
    shape = stimulus(1)
    np.testing.assert_array_equal(scaled(shape, [0, 2])[1], 2 * shape)
    np.testing.assert_array_equal(percent_of_maximum(np.array([1.0, 4.0])), [25, 100])
    assert np.isnan(percent_of_maximum(np.array([-1.0, 0.0]))).all()


def test_the_model_is_asked_in_batches_and_never_point_by_point(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def ask(stack: Tensor) -> Tensor:
        sizes.append(len(stack))
        return stack.sum((1, 2, 3, 4))

    monkeypatch.setattr("openretina_cli.finding.tuning.MOST_VALUES", 50 * 2 * 5 * 6 * 4)
    stack = scaled(stimulus(2), np.linspace(0, 1, 121))
    np.testing.assert_allclose(respond_to(ask, stack, CPU), stack.sum((1, 2, 3, 4)), atol=1e-4)
    assert sizes == [50, 50, 21]


def test_a_range_that_is_not_known_is_not_judged() -> None:
    from openretina_cli.finding.tuning import outside_range

    facts = ModelFacts("m", {"s": 1}, ("a", "b"), 6, 4, lag=0, frame_rate=None)
    assert np.isnan(outside_range(stimulus(2)[None], facts)).all()
    limited = ModelFacts("m", {"s": 1}, ("a", "b"), 6, 4, 0, None, stimulus_range=((0.0, None), (None, None)))
    assert outside_range(stimulus(2)[None], limited) == pytest.approx((stimulus(2)[0] < 0).mean() / 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_has_room_for_every_pair_of_channels(channels: int) -> None:
    from openretina_cli.finding.files import png_bytes
    from openretina_cli.finding.tuning import Curve
    from openretina_cli.finding.tuning_figure import draw_tuning

    axis, inside = np.linspace(0, 1, 5), np.zeros(5)
    curves = [Curve(kind, kind, axis, axis, inside) for kind in ("contrast", "size", "time", "right", "down")]
    for first, second in colour_pairs(channels):
        weights = colour_weights(channels, (first, second), 5)
        names, plain = ("x", "" if first == second else "y"), np.zeros(len(weights))
        slope = weights[:, [first] if first == second else [first, second]]
        y = np.zeros(0) if first == second else weights[:, second]
        curves.append(Curve("colour", names[0], weights[:, first], 2 + plain, plain, names[1], y, slope))
    figure = draw_tuning(curves, "a run")
    png_bytes(figure)  # a layout without room is a warning, and warnings are errors
    grids = [ax for ax in figure.findobj(lambda artist: hasattr(artist, "get_images")) if ax.get_title("left")]
    assert len(grids) == 4 + len(colour_pairs(channels))


# --- all curves of a cell --------------------------------------------------------------------------------------------


class Linear(Retina):
    """One neuron that sums a stimulus through weights `(channel, time, height, width)`."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights))
        channels, _, height, width = weights.shape
        names = tuple(f"c{index}" for index in range(channels))
        self.facts = ModelFacts("linear", {"s": 1}, names, height, width, lag=0, frame_rate=20.0, pixel_size=10.0)
        self.freeze()

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        del data_key
        answer = (stimulus * self.get_buffer("weights")).sum((1, 3, 4)).mean(1)
        return answer[:, None, None].expand(-1, stimulus.shape[2], 1)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("place", [(0, 6), (3, 3)], ids=["corner", "middle"])
def test_every_curve_of_a_linear_cell_is_the_sum_that_a_plain_loop_finds(
    channels: int, place: tuple[int, int], tmp_path: Path
) -> None:
    rows, columns = np.mgrid[:6, :7]
    picture = np.exp(-((rows - place[0]) ** 2 + (columns - place[1]) ** 2) / 3)
    courses = np.random.default_rng(channels).normal(size=(channels, 9))
    weights = (courses[:, :, None, None] * picture).astype(np.float32)
    (tmp_path / "stimulus.pt").write_bytes(tensor_bytes(weights))
    stated = {"session": "s", "neurons": [0], "window_response_frames": [0, 9]}
    run = Stimulus("run", result_of_tree(stated, tmp_path / "result.json"))
    curves = Tuner(Linear(weights), run, CPU, points=5).all()

    def answer(stimulus: NDArray[np.float64]) -> float:
        return float((stimulus * weights).sum()) / 9

    own = answer(weights.astype(np.float64))
    by_kind = {curve.kind: curve for curve in curves if curve.kind != "colour"}
    norm = float(np.linalg.norm(weights.astype(np.float64)))
    expected = {"contrast": [own * norm_of / norm for norm_of in by_kind["contrast"].x], "size": []}
    for diameter in by_kind["size"].x:
        inside = np.hypot(rows - place[0], columns - place[1]) <= diameter / 2 / 10 + 1e-9
        expected["size"].append(answer(weights * inside))
    for kind, axis, unit in (("time", 1, 1 / 20), ("down", 2, 10), ("right", 3, 10)):
        expected[kind] = []
        for shift in by_kind[kind].x / unit:
            steps, moved = round(shift), np.zeros(weights.shape)
            for index in range(weights.shape[axis]):
                if 0 <= index - steps < weights.shape[axis]:
                    target, source = [slice(None)] * 4, [slice(None)] * 4
                    target[axis], source[axis] = index, index - steps  # type: ignore[call-overload]
                    moved[tuple(target)] = weights[tuple(source)]
            expected[kind].append(answer(moved))
    for kind, values in expected.items():
        # float32 sums of some hundred products
        np.testing.assert_allclose(by_kind[kind].response, values, atol=2e-5 * abs(own) + 1e-6, err_msg=kind)
    grids = [curve for curve in curves if curve.kind == "colour"]
    assert len(grids) == {1: 1, 2: 1, 3: 3}[channels]
    for grid, pair in zip(grids, colour_pairs(channels), strict=True):
        basis = equal_norms(weights).astype(np.float64)
        gains = [answer(np.where(np.arange(channels)[:, None, None, None] == c, basis, 0)) for c in range(channels)]
        rest = sum(gains) - sum(gains[c] for c in set(pair))
        across = grid.y * gains[pair[1]] if len(grid.y) else 0
        np.testing.assert_allclose(grid.response, grid.x * gains[pair[0]] + across + rest, atol=2e-5 * abs(own) + 1e-6)
