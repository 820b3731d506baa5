"""The number of tensor operations of an iteration does not grow with the runs of a stack."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from operations import CONSTRAINTS, OBJECTIVES, OPTIMIZERS, SIZES, per_iteration, small_problems
from test_fast import CASES, build

from openretina_cli import IncreaseObjective, OptimizationStopper, Problem, SliceMeanReducer
from openretina_cli.constraint.norm_then_range import NormThenRange
from openretina_cli.optimizer import GradientDescent
from openretina_cli.run.problem import WindowedModel

MORE = 1.2
"""How many times as many operations a stack may take as one run: some take one more step where there is a batch."""
MOST = 300
"""Operations that an iteration of one run of the published ensemble may take."""
USUAL = "norm then range"
PAIRS = [*((name, USUAL) for name in OBJECTIVES), *(("mei", name) for name in CONSTRAINTS if name != USUAL)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("objective", "constraint"), PAIRS, ids=lambda name: name.replace(" ", "_"))
def test_operations_do_not_grow_with_the_runs(objective: str, constraint: str, optimizer: str) -> None:
    one, *more = (per_iteration(small_problems(runs, objective, optimizer, constraint)) for runs in SIZES)
    assert max(more) <= MORE * one


def test_one_run_of_the_published_ensemble_takes_few_operations() -> None:
    retina, window = build(CASES["published"]), (10, 20)
    fast = retina.fast_form("s", [3], 50, window)
    assert fast is not None
    model = WindowedModel(fast, [3], window, (20, 6))
    objective = IncreaseObjective(model, 3, "s", SliceMeanReducer(start=10, length=10))
    start = 0.1 * torch.randn(2, 50, 18, 16)
    rule = NormThenRange(5.0, [(-0.654, 6.269), (-0.913, 6.269)])
    problem = Problem(start, objective, partial(GradientDescent, lr=10.0), OptimizationStopper(1), [rule])
    assert per_iteration([problem]) <= MOST
