"""What a matrix of responses says: scores, shares, areas and confusions agree with their definitions, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openretina_cli.analysis.response_matrix import (
    auc,
    confusion,
    own_stimuli,
    selectivities,
    share_of,
    type_means,
    zscored,
)

VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=8)


@given(VALUES, VALUES)
def test_the_area_is_the_share_of_pairs_that_are_in_order(own: list[float], other: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in own for b in other]
    # sums of halves are exact; one division each
    assert auc(np.array(own), np.array(other)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-15)


def test_an_area_without_values_is_none_and_those_not_finite_do_not_count() -> None:
    assert np.isnan(auc(np.array([]), np.array([1.0])))
    assert auc(np.array([2.0, np.nan]), np.array([1.0, np.inf])) == 1


def test_scores_do_not_depend_on_gain_and_offset_and_a_constant_row_has_none() -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 5))
    # float64 rounding of products and means
    np.testing.assert_allclose(zscored(3 * matrix + 7), zscored(matrix), atol=1e-12)
    np.testing.assert_allclose(zscored(matrix).std(axis=1), 1, atol=1e-12)
    assert np.isnan(zscored(np.full((1, 4), 0.1))).all()
    assert np.isnan(zscored(np.array([[2.0]]))).all()


def test_shares_refer_to_the_own_stimulus_and_mean_nothing_without_one() -> None:
    matrix = np.array([[2.0, 4.0], [3.0, 6.0], [0.0, 1.0]])
    shares = share_of(matrix, [1, -1, 0])
    np.testing.assert_array_equal(shares[0], [0.5, 1])
    assert np.isnan(shares[1:]).all(), "no own stimulus, and one that does not drive"


def test_the_own_stimulus_is_made_for_the_neuron_else_for_its_type_and_is_the_best_of_several() -> None:
    matrix = np.array([[1.0, 2, 9, 3], [5, 6, 7, 1], [1, 1, 1, 1]])
    alone = np.zeros((3, 4), bool)
    alone[0, [0, 1]] = True
    assert own_stimuli(matrix, alone, ["a", "a", ""], ["a", "a", "b", ""]) == [1, 1, -1]


def test_a_stimulus_that_drives_another_type_more_is_found() -> None:
    neurons = ["a", "a", "b", "b", "c"]
    matrix = np.array([[3.0, 1], [5, 2], [1, 6], [2, 4], [4.5, 0]])
    good, trap = selectivities(matrix, neurons, ["b", "a"])[::-1][0], selectivities(matrix, neurons, ["b", "a"])[0]
    assert (trap.own, trap.other_type, trap.other) == (1.5, "c", 4.5)
    assert trap.trapped
    assert (trap.auc, trap.auc_all) == (0, 0)
    assert (good.own, good.other_type, good.other, good.auc) == (1.5, "b", 5.0, 0)
    (fine,) = selectivities(matrix[:, :1], neurons, ["a"])
    assert (fine.own, fine.other_type, fine.trapped) == (4, "c", True), "4.5 is above the mean, not above all"
    assert fine.auc == 0.5
    (none,) = selectivities(matrix[:, :1], neurons, [""])
    assert np.isnan(none.own)
    assert not none.trapped


def test_confusion_compares_every_neuron_with_itself() -> None:
    matrix = np.array([[1.0, 3, 1], [0.1, 0.1, 0.3], [50, 20, 10]])
    types, kinds, shares = confusion(matrix, ["a", "a", "b"], ["a", "a", "b"])
    assert (types, kinds) == (["a", "b"], ["a", "b"])
    # neuron 0: 2 against 1; neuron 1: 0.1 against 0.3; neuron 2: 35 against 10, whatever its gain
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [1, 0]])


def test_means_leave_out_what_is_not_finite() -> None:
    labels, means = type_means(np.array([[1.0], [np.nan], [5.0]]), ["a", "a", ""])
    assert labels == ["a"]
    np.testing.assert_array_equal(means, [[1]])
