"""The numbers of the public package (openretina 1.1.1), through the Python API.

Tolerances: float32 sums in another order differ by about 1e-7 per operation; the reference problems amplify a relative
change of 1e-6 at the start to less than 4e-6 at the end. So responses and objectives must agree to 1e-5 and final
stimuli to 1e-4 of their largest value; a larger difference is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from openretina_cli import (
    ChangeNormJointlyClipRangeSeparately,
    ContrastiveNeuronObjective,
    DecreaseObjective,
    IncreaseObjective,
    OptimizationStopper,
    Problem,
    RangePenalty,
    SliceMeanReducer,
    SparseObjective,
    TemporalGaussianLowPass,
    optimize_stack,
)
from openretina_cli.models.twin import EnsembleModel

Golden = Mapping[str, NDArray[np.float32]]
DORSAL, VENTRAL = "3_ventral1_20201021", "1_ventral1_20201021"
RANGES = [(-0.654, 6.269), (-0.913, 6.269)]
WINDOW = SliceMeanReducer(axis=0, start=10, length=10)


def relative_difference(found: object, expected: NDArray[np.float32]) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("session", [DORSAL, VENTRAL])
def test_responses_agree(ensemble: EnsembleModel, golden: Golden, session: str) -> None:
    response = ensemble(torch.from_numpy(golden["probe"]), data_key=session)
    assert relative_difference(response, golden[f"responses/{session}"]) < 1e-5


def test_centered_responses_agree(centered_ensemble: EnsembleModel, golden: Golden) -> None:
    response = centered_ensemble(torch.from_numpy(golden["probe"]), data_key=DORSAL)
    assert relative_difference(response, golden[f"responses_centered/{DORSAL}"]) < 1e-5


def problem(case: str, ensemble: EnsembleModel, centered: EnsembleModel, golden: Golden) -> Problem:
    """The problem of a case, as tests/data/README.md and the reference's own settings describe it."""
    small = [ChangeNormJointlyClipRangeSeparately(RANGES, 5.0)]
    large = [ChangeNormJointlyClipRangeSeparately(RANGES, 30.0)]
    sgd, fast_sgd = partial(torch.optim.SGD, lr=10.0), partial(torch.optim.SGD, lr=100.0)
    adam = partial(torch.optim.Adam, lr=0.05)
    clusters = ([0, 1, 2, 3], [[4, 5, 6], [7, 8, 9, 10]])
    # objective, optimizer, iterations, constraints, penalties
    settings = {
        "mei": (IncreaseObjective(ensemble, 42, DORSAL, WINDOW), sgd, 10, small, []),
        "mdi": (DecreaseObjective(ensemble, 42, DORSAL, WINDOW), sgd, 10, small, []),
        "sparse": (SparseObjective(ensemble, DORSAL), sgd, 50, small, []),
        "group_mei": (IncreaseObjective(ensemble, [1, 5, 9, 20], VENTRAL, WINDOW), sgd, 10, small, []),
        "discriminative": (
            ContrastiveNeuronObjective(ensemble, *clusters, DORSAL, WINDOW),
            fast_sgd,
            10,
            [*large, TemporalGaussianLowPass(0.5, 5, padding="zeros")],
            [],
        ),
        "early_stopping": (
            IncreaseObjective(centered, 42, DORSAL, SliceMeanReducer(axis=0, start=0, length=20)),
            sgd,
            # the reference's stopper never fires; a part of its 1000 iterations here, 200 through the command line
            30,
            large,
            [],
        ),
        "range_regularised": (
            IncreaseObjective(ensemble, 7, DORSAL, WINDOW),
            fast_sgd,
            10,
            large,
            [RangePenalty(RANGES, 30.0, 0.1)],
        ),
        "adam": (IncreaseObjective(ensemble, 3, VENTRAL, WINDOW), adam, 20, small, []),
    }
    objective, optimizer, iterations, constraints, penalties = settings[case]
    start = torch.from_numpy(golden[f"{case}/initial"])[0]
    return Problem(start, objective, optimizer, OptimizationStopper(iterations), constraints, penalties)


CASES = ["mei", "mdi", "sparse", "group_mei", "discriminative", "early_stopping", "range_regularised", "adam"]


@pytest.mark.parametrize("case", CASES)
def test_optimisation_agrees(
    case: str, ensemble: EnsembleModel, centered_ensemble: EnsembleModel, golden: Golden
) -> None:
    (outcome,) = optimize_stack([problem(case, ensemble, centered_ensemble, golden)])
    expected = golden[f"{case}/objective_per_iteration"]
    objectives = [step.objective for step in outcome.history]
    measured = min(len(objectives), len(expected))
    assert relative_difference(objectives[:measured], expected[:measured]) < 1e-5
    if len(objectives) > len(expected):  # the case was run to its end
        assert relative_difference(outcome.objective, golden[f"{case}/final_objective"]) < 1e-5
        assert relative_difference(outcome.stimulus, golden[f"{case}/stimulus"][0]) < 1e-4


def test_a_stack_gives_what_its_runs_give_alone(
    ensemble: EnsembleModel, centered_ensemble: EnsembleModel, golden: Golden
) -> None:
    cases = ["mei", "mdi", "discriminative", "range_regularised", "adam"]
    together = optimize_stack([problem(case, ensemble, centered_ensemble, golden) for case in cases])
    for case, outcome in zip(cases, together, strict=True):
        expected = golden[f"{case}/stimulus"][0]
        (alone,) = optimize_stack([problem(case, ensemble, centered_ensemble, golden)])
        # convolutions of a larger batch may sum in another order: rounding, amplified as said above
        assert relative_difference(outcome.stimulus, alone.stimulus.numpy()) < 1e-5
        assert relative_difference(outcome.stimulus, expected) < 1e-4


def test_optimising_leaves_no_gradient_on_weights(ensemble: EnsembleModel, golden: Golden) -> None:
    optimize_stack([problem("mei", ensemble, ensemble, golden)])
    assert all(weight.grad is None and not weight.requires_grad for weight in ensemble.parameters())
