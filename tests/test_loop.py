"""The loop on problems with known answers: bowls, dead cells, cells that explode, plateaus."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from openretina_cli import (
    AbstractObjective,
    ChangeNorm,
    ClipRange,
    EarlyStopper,
    GradientStep,
    OptimizationStopper,
    Outcome,
    Parameters,
    Problem,
    RangePenalty,
    optimize_stack,
    optimize_stimulus,
)
from openretina_cli.constraint.base import Constraint
from openretina_cli.errors import ObjectiveError, SettingError

SHAPE = (1, 4, 3, 2)


class Scored(AbstractObjective):
    """An objective given as a function of the stimulus `(channel, time, height, width)`; the model is the identity."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(lambda stimuli: stimuli, None)
        self.function = function

    def score(self, response: Tensor) -> Tensor:
        return self.function(response)


class Forwarded(AbstractObjective):
    """The same, in the notebook's style."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(lambda stimuli: stimuli, None)
        self.function = function

    def forward(self, stimulus: Tensor) -> Tensor:
        return self.function(self.model_forward(stimulus))


CENTER = torch.linspace(-1, 1, math.prod(SHAPE), dtype=torch.float64).reshape(SHAPE)


def bowl(x: Tensor) -> Tensor:
    return -(x - CENTER).square().sum()


def problem(
    function: Callable[[Tensor], Tensor],
    *,
    lr: float = 0.1,
    stopper: OptimizationStopper | None = None,
    style: type[AbstractObjective] = Scored,
    start: Tensor | None = None,
    **settings: object,
) -> Problem:
    begin = torch.zeros(SHAPE, dtype=torch.float64) if start is None else start
    optimizer = partial(torch.optim.SGD, lr=lr)
    return Problem(begin, style(function), optimizer, stopper or OptimizationStopper(20), **settings)  # type: ignore[call-arg, arg-type]


def run(function: Callable[[Tensor], Tensor], **settings: Any) -> Outcome:
    return optimize_stack([problem(function, **settings)])[0]


@pytest.mark.parametrize("style", [Scored, Forwarded])
def test_a_bowl_is_climbed_to_its_centre(style: type[AbstractObjective]) -> None:
    outcome = run(bowl, stopper=OptimizationStopper(200), style=style)
    # 0.8 per step of the remaining way: 0.8^200 is far below float64 rounding of the centre
    torch.testing.assert_close(outcome.stimulus, CENTER, rtol=1e-10, atol=1e-12)


def test_the_history_has_the_start_and_every_step() -> None:
    outcome = run(bowl, stopper=OptimizationStopper(5))
    assert [step.iteration for step in outcome.history] == [0, 1, 2, 3, 4, 5]
    first, last = outcome.history[0], outcome.history[-1]
    # steps are recorded in float32
    assert first.objective == pytest.approx(float(bowl(torch.zeros(SHAPE, dtype=torch.float64))), rel=1e-6)
    assert first.gradient_norm == pytest.approx(2 * float(CENTER.norm()), rel=1e-6)
    assert math.isnan(last.gradient_norm)
    assert outcome.objective == pytest.approx(float(bowl(outcome.stimulus)), rel=1e-6)
    assert outcome.stop_reason == "iterations"


def test_zero_iterations_measure_the_start() -> None:
    outcome = run(bowl, stopper=OptimizationStopper(0))
    assert len(outcome.history) == 1
    assert torch.equal(outcome.stimulus, torch.zeros(SHAPE, dtype=torch.float64))


def test_the_reported_objective_is_that_of_the_constrained_stimulus() -> None:
    outcome = run(bowl, constraints=[ChangeNorm(0.5)], stopper=OptimizationStopper(3))
    assert outcome.objective == pytest.approx(float(bowl(outcome.stimulus)), rel=1e-6)
    assert outcome.history[-1].stimulus_norm == pytest.approx(0.5, rel=1e-6)


def test_the_best_stimulus_is_kept_when_steps_overshoot() -> None:
    last = run(bowl, lr=1.1, stopper=OptimizationStopper(15))
    best = run(bowl, lr=1.1, stopper=OptimizationStopper(15), keep="best")
    assert last.kept == 15
    assert best.kept < 15
    assert best.objective == max(step.objective for step in last.history[1:])  # the start is never kept
    assert best.objective > last.objective


def test_the_best_is_chosen_among_constrained_stimuli_only() -> None:
    at_the_top = CENTER.clone()
    outcome = run(bowl, start=at_the_top, constraints=[ChangeNorm(0.1)], keep="best", stopper=OptimizationStopper(0))
    assert outcome.kept == 0
    moved = run(lambda x: bowl(x) + x.sum() * 1e-3, start=at_the_top, constraints=[ChangeNorm(0.1)], keep="best")
    assert float(moved.stimulus.norm()) == pytest.approx(0.1)


def test_a_penalty_is_subtracted() -> None:
    penalty = RangePenalty([(-0.2, 0.2)], None, factor=50.0)
    outcome = run(bowl, lr=1e-3, penalties=[penalty], stopper=OptimizationStopper(2000), keep="best")
    # the price of 50 per unit outweighs the bowl's slope of at most 2, so values stay near the range:
    # one step of lr * (50 + 2) is the largest excursion
    assert float(outcome.stimulus.abs().max()) <= 0.2 + 1e-3 * 52


def test_a_plateau_stops_the_early_stopper_after_its_patience() -> None:
    outcome = run(lambda x: x.sum() * 0 + 3.0 + 1e-9 * x.sum(), stopper=EarlyStopper(1000, patience=7, min_delta=1e-3))
    assert outcome.stop_reason == "plateau"
    assert outcome.history[-1].iteration == 7


def test_small_gains_do_not_reset_the_patience() -> None:
    gains = run(lambda x: x.sum() * 1e-4, lr=1.0, stopper=EarlyStopper(1000, patience=5, min_delta=1e-3))
    assert gains.history[-1].iteration == 5


def test_steady_gains_do_not_stop_early() -> None:
    outcome = run(lambda x: x.sum(), stopper=EarlyStopper(50, patience=3, min_delta=1e-3))
    assert outcome.stop_reason == "iterations"


def test_a_stopper_has_no_state_between_runs() -> None:
    stopper = EarlyStopper(1000, patience=4, min_delta=1e-3)
    lengths = [len(run(bowl, stopper=stopper).history) for _ in range(3)]
    assert len(set(lengths)) == 1


def test_a_dead_cell_is_reported_and_not_spun_on() -> None:
    outcome = run(lambda x: torch.relu(x.sum() - 100.0), stopper=OptimizationStopper(1000))
    assert outcome.stop_reason == "zero gradient"
    assert len(outcome.history) == 1
    assert "does not depend on the stimulus" in outcome.warnings[0]


def test_an_objective_without_any_gradient_is_a_dead_cell() -> None:
    assert run(lambda x: x.detach().sum()).stop_reason == "zero gradient"


def test_a_run_that_diverges_keeps_the_last_good_stimulus() -> None:
    outcome = run(lambda x: torch.exp(x).sum(), lr=1.0, stopper=OptimizationStopper(100))
    assert outcome.failure is not None
    assert f"at iteration {len(outcome.history)}" in outcome.failure
    assert outcome.stop_reason == "diverged"
    assert bool(torch.isfinite(outcome.stimulus).all())
    assert math.isfinite(outcome.objective)


def test_a_start_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ObjectiveError, match="iteration 0"):
        run(lambda x: x.sum() / 0.0 * 0.0)


def test_an_objective_that_raises_is_named() -> None:
    def broken(x: Tensor) -> Tensor:
        raise KeyError("no such thing")

    with pytest.raises(ObjectiveError, match="Scored failed: KeyError"):
        run(broken)


def test_an_objective_that_is_no_number_is_named() -> None:
    with pytest.raises(ObjectiveError, match="one number"):
        run(lambda x: x, style=Forwarded)


def test_rows_of_a_stack_never_touch() -> None:
    problems = [
        problem(bowl),
        problem(lambda x: (x * CENTER).sum(), constraints=[ChangeNorm(2.0)], start=CENTER * 0.1),
        problem(lambda x: torch.exp(x).sum(), lr=1.0, stopper=OptimizationStopper(100)),
        problem(lambda x: torch.relu(x.sum() - 100.0)),
        problem(bowl, style=Forwarded, stopper=EarlyStopper(500, patience=3, min_delta=1e-2)),
    ]
    for together, alone in zip(optimize_stack(problems), (optimize_stack([p])[0] for p in problems), strict=True):
        # nothing of a row's arithmetic depends on its neighbours: bit for bit
        assert torch.equal(together.stimulus, alone.stimulus)
        assert together.stop_reason == alone.stop_reason
        assert len(together.history) == len(alone.history)


SEPARATE = [
    cls
    for cls in vars(torch.optim).values()
    if isinstance(cls, type)
    and issubclass(cls, torch.optim.Optimizer)
    and cls.__name__ not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")  # Muon takes matrices only
]


@pytest.mark.parametrize("optimizer", SEPARATE, ids=lambda cls: cls.__name__)
def test_every_optimizer_steps_the_rows_of_a_stack_apart(optimizer: type[torch.optim.Optimizer]) -> None:
    make = partial(optimizer, lr=0.05)  # type: ignore[call-arg]
    starts = [torch.full(SHAPE, value, dtype=torch.float64) for value in (0.0, 0.5, -1.0)]
    problems = [
        Problem(start, Scored(bowl), make, OptimizationStopper(count), [ChangeNorm(2.0)])
        for start, count in zip(starts, (9, 4, 6), strict=True)
    ]
    for together, alone in zip(optimize_stack(problems), (optimize_stack([p])[0] for p in problems), strict=True):
        torch.testing.assert_close(together.stimulus, alone.stimulus, rtol=1e-12, atol=1e-14)
        assert len(together.history) == len(alone.history)


class Counting(Constraint):
    """A stranger's constraint, with a state."""

    def __init__(self) -> None:
        self.shapes: list[int] = []

    def process(self, x: Tensor) -> Tensor:
        self.shapes.append(len(x))
        return x * 1.0


def test_a_strangers_constraint_meets_its_own_run_only() -> None:
    constraints = [Counting(), Counting()]
    optimize_stack([problem(bowl, constraints=[own], stopper=OptimizationStopper(3)) for own in constraints])
    assert [own.shapes for own in constraints] == [[1, 1, 1], [1, 1, 1]]


def test_a_strangers_optimizer_may_put_a_new_tensor_in_place() -> None:
    class Replacing(torch.optim.Optimizer):
        def __init__(self, params: list[Tensor]) -> None:
            super().__init__(params, {})

        def step(self, closure: object = None) -> None:  # type: ignore[override]
            (row,) = self.param_groups[0]["params"]
            row.data = row.data - 0.1 * row.grad

    begin = torch.zeros(SHAPE, dtype=torch.float64)
    (outcome,) = optimize_stack([Problem(begin, Scored(bowl), Replacing, OptimizationStopper(20))])
    assert torch.equal(outcome.stimulus, run(bowl).stimulus)


def test_each_step_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    optimize_stack(
        [problem(bowl, stopper=OptimizationStopper(2)), problem(bowl, stopper=OptimizationStopper(1))],
        lambda index, step: seen.append((index, step.iteration)),
    )
    assert seen == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]


class TestOptimizeStimulus:
    """The notebook's function works in place."""

    def optimise(self, stimulus: Tensor, iterations: int = 3) -> list[Outcome]:
        sgd = partial(torch.optim.SGD, lr=0.1)
        return optimize_stimulus(stimulus, sgd, Scored(bowl), OptimizationStopper(iterations))

    def test_it_changes_the_tensor_and_returns_outcomes(self) -> None:
        stimulus = torch.zeros((1, *SHAPE), dtype=torch.float64, requires_grad=True)
        (outcome,) = self.optimise(stimulus)
        assert torch.equal(stimulus[0], outcome.stimulus)
        assert float(stimulus.detach().abs().max()) > 0

    def test_a_tensor_can_be_used_again(self) -> None:
        stimulus = torch.zeros((1, *SHAPE), dtype=torch.float64, requires_grad=True)
        self.optimise(stimulus)
        after_one = stimulus.detach().clone()
        self.optimise(stimulus)
        assert stimulus.requires_grad
        assert not torch.equal(stimulus, after_one)

    def test_a_rule_of_another_kind_is_refused_and_not_left_out(self) -> None:
        sgd = partial(torch.optim.SGD, lr=0.1)
        with pytest.raises(SettingError, match="stimulus_postprocessor holds a int; expected a Constraint"):
            optimize_stimulus(torch.zeros((1, *SHAPE)), sgd, Scored(bowl), OptimizationStopper(1), None, 3)

    def test_a_batch_is_that_many_stimuli(self) -> None:
        batch = torch.randn((3, *SHAPE), dtype=torch.float64)
        rows = [row[None].clone() for row in batch]
        self.optimise(batch)
        for row in rows:
            self.optimise(row)
        assert torch.equal(batch, torch.cat(rows))


class Scaled(GradientStep):
    pure = True

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def process(self, gradient: Tensor) -> Tensor:
        return self.factor * gradient


class Shifted(GradientStep):
    pure = True

    def process(self, gradient: Tensor) -> Tensor:
        return gradient + 1


class EverySecond(GradientStep):
    """Lets every second gradient through; the state is that of one run."""

    def __init__(self) -> None:
        self.calls = 0

    def process(self, gradient: Tensor) -> Tensor:
        self.calls += 1
        return gradient * (self.calls % 2)


class TestGradientSteps:
    def test_a_step_acts_before_the_optimizer(self) -> None:
        # halving is exact, and so is twice the rate
        halved, plain = run(bowl, lr=0.2, gradient=[Scaled(0.5)]), run(bowl, lr=0.1)
        assert torch.equal(halved.stimulus, plain.stimulus)
        assert [s.gradient_norm for s in halved.history[:-1]] == [s.gradient_norm for s in plain.history[:-1]]

    def test_steps_act_in_the_order_listed(self) -> None:
        descent = -2 * CENTER  # of minus the bowl, at zero
        once = partial(run, bowl, lr=0.5, stopper=OptimizationStopper(1))
        assert torch.equal(once(gradient=[Scaled(4), Shifted()]).stimulus, -0.5 * (4 * descent + 1))
        assert torch.equal(once(gradient=[Shifted(), Scaled(4)]).stimulus, -0.5 * 4 * (descent + 1))

    def test_runs_of_a_stack_have_each_their_own_steps(self) -> None:
        choices: list[list[GradientStep]] = [[], [Scaled(0.5)], [Scaled(0.5)], [Scaled(2)], [Shifted(), Scaled(2)]]
        together = optimize_stack([problem(bowl, gradient=steps) for steps in choices])
        for outcome, steps in zip(together, choices, strict=True):
            assert torch.equal(outcome.stimulus, run(bowl, gradient=steps).stimulus)

    def test_a_step_that_keeps_a_state_keeps_that_of_one_run(self) -> None:
        together = optimize_stack([problem(bowl, gradient=[EverySecond()]) for _ in range(3)])
        alone = run(bowl, gradient=[EverySecond()])
        for outcome in together:
            assert torch.equal(outcome.stimulus, alone.stimulus)


class Held(Parameters):
    """Frames in groups that are alike."""

    def __init__(self, length: int) -> None:
        self.length = length

    def decode(self, parameters: Tensor) -> Tensor:
        return parameters.repeat_interleave(self.length, dim=2)

    def encode(self, stimuli: Tensor) -> Tensor:
        return stimuli.unflatten(2, (-1, self.length)).mean(dim=3)

    def grouping(self) -> object:
        return Held, self.length


def held(x: Tensor, length: int) -> Tensor:
    """The nearest stimulus with frames in groups."""
    parameters = Held(length)
    return parameters.decode(parameters.encode(x[None]))[0]


class TestParameters:
    @pytest.mark.parametrize("length", [1, 2, 4])
    def test_the_optimum_is_the_best_stimulus_that_the_parameters_can_make(self, length: int) -> None:
        outcome = run(bowl, parameters=Held(length), stopper=OptimizationStopper(200))
        # |1 - 0.2 length|^200 of the way is left at most, 7e-27
        torch.testing.assert_close(outcome.stimulus, held(CENTER, length), rtol=1e-10, atol=1e-12)
        assert outcome.objective == pytest.approx(float(bowl(outcome.stimulus)), rel=1e-6)  # recorded in float32

    def test_the_start_is_the_nearest_stimulus_that_the_parameters_can_make(self) -> None:
        outcome = run(bowl, start=CENTER, parameters=Held(2), stopper=OptimizationStopper(0))
        torch.testing.assert_close(outcome.stimulus, held(CENTER, 2), rtol=1e-12, atol=1e-12)

    def test_constraints_hold_for_the_stimulus(self) -> None:
        clip = ClipRange([(-0.2, 0.3)])
        outcome = run(bowl, parameters=Held(2), constraints=[clip], stopper=OptimizationStopper(200))
        torch.testing.assert_close(outcome.stimulus, held(CENTER, 2).clamp(-0.2, 0.3), rtol=1e-10, atol=1e-12)

    def test_runs_of_a_stack_have_each_their_own_parameters(self) -> None:
        choices = [Parameters(), Held(2), Held(4), Held(2), Parameters()]
        together = optimize_stack([problem(bowl, parameters=chosen) for chosen in choices])
        for outcome, chosen in zip(together, choices, strict=True):
            assert torch.equal(outcome.stimulus, run(bowl, parameters=chosen).stimulus)
