"""Objectives on a linear retina, whose best stimuli are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from openretina_cli import AbstractObjective, ChangeNorm, IncreaseObjective, OptimizationStopper, Problem, Retina
from openretina_cli.errors import ModelError, ObjectiveError, SettingError
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.layers import layer_shapes
from openretina_cli.objective.base import Weights
from openretina_cli.objective.contrast import Contrast
from openretina_cli.objective.difference import Difference
from openretina_cli.objective.discriminative import MostDiscriminativeStimulus
from openretina_cli.objective.group_mei import GroupMostExcitingInput
from openretina_cli.objective.jitter import Jitter
from openretina_cli.objective.match import MatchResponse
from openretina_cli.objective.mdi import MostDepressingInput
from openretina_cli.objective.mei import MostExcitingInput
from openretina_cli.objective.ratio import Ratio
from openretina_cli.objective.rescale import Rescale
from openretina_cli.objective.sparse import SparseObjective
from openretina_cli.objective.stack import Linear as LinearScores
from openretina_cli.objective.stack import Stack
from openretina_cli.objective.unit import InnerUnit
from openretina_cli.optimizer import GradientDescent
from openretina_cli.reducer import MaxReducer, MeanReducer, ResponseReducer, SliceMeanReducer

SESSION, NEURONS, FRAMES, HEIGHT, WIDTH = "only", 6, 12, 7, 5
SHAPE = (2, FRAMES, HEIGHT, WIDTH)
WINDOW = SliceMeanReducer(start=4, length=5)


class Convolution(nn.Conv3d):
    """A layer that keeps the handle of every hook that is registered with it."""

    handles: tuple[RemovableHandle, ...] = ()

    def register_forward_hook(self, *arguments: Any, **options: Any) -> RemovableHandle:
        handle = super().register_forward_hook(*arguments, **options)
        self.handles = (*self.handles, handle)
        return handle

    def forward(self, stimulus: Tensor) -> Tensor:
        return nn.functional.conv3d(stimulus, self.weight.to(stimulus))

    @property
    def hooks_left(self) -> int:
        return sum(handle.id in (handle.hooks_dict_ref() or {}) for handle in self.handles)


class Linear(Retina):
    """Neurons that weigh the present frame, behind a layer that sees three frames and that they do not read."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.register_buffer("filters", torch.randn(NEURONS, 2, HEIGHT, WIDTH, generator=draw))
        self.early = Convolution(2, 3, (3, 3, 2), bias=False)
        with torch.no_grad():
            self.early.weight.copy_(torch.randn(self.early.weight.shape, generator=draw))
        self.late = nn.Identity()
        self.facts = ModelFacts("linear", {SESSION: NEURONS}, ("green", "uv"), HEIGHT, WIDTH, lag=3, frame_rate=30.0)
        self.freeze()

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        self.early(stimulus)
        response: Tensor = self.late(torch.einsum("bcthw,nchw->btn", stimulus, self.filters.to(stimulus)))
        return response[:, 3:]


RETINA = Linear()
RESPONSE = FRAMES - 3
OFFERED: Mapping[str, Any] = {"model": RETINA, "data_key": SESSION, "facts": RETINA.facts}
Build = Callable[[ResponseReducer], AbstractObjective]

LINEAR: Mapping[str, Build] = {
    "mei": lambda reducer: MostExcitingInput(response_reducer=reducer, neuron=2, **OFFERED),
    "mdi": lambda reducer: MostDepressingInput(response_reducer=reducer, neuron=[0, 5], **OFFERED),
    "group": lambda reducer: GroupMostExcitingInput(response_reducer=reducer, neuron="all", **OFFERED),
    "difference": lambda reducer: Difference(response_reducer=reducer, neuron=1, other_neuron=[2, 3], **OFFERED),
    "contrast": lambda reducer: Contrast(
        response_reducer=reducer, neuron=[1, 4], baseline=SliceMeanReducer(start=0, length=3), **OFFERED
    ),
    "rescale": lambda reducer: Rescale(
        SESSION,
        RETINA.facts,
        GroupMostExcitingInput(response_reducer=reducer, neuron=[1, 3], **OFFERED),
        subtract=[0.0, 1.0, 0.0, -2.0, 0.0, 0.0],
        divide=[1.0, 2.0, 1.0, 0.5, 1.0, 1.0],
    ),
    "sum": lambda reducer: (
        0.5 * MostExcitingInput(response_reducer=reducer, neuron=0, **OFFERED)
        + MostDepressingInput(response_reducer=reducer, neuron=3, **OFFERED)
    ),
}
OTHERS: Mapping[str, Build] = {
    "ratio": lambda reducer: Ratio(response_reducer=reducer, neuron=1, other_neuron=2, offset=1e3, **OFFERED),
    "discriminative": lambda reducer: MostDiscriminativeStimulus(
        response_reducer=reducer, on=[0], off=[[1], [2, 3]], **OFFERED
    ),
    "unit": lambda reducer: InnerUnit(response_reducer=reducer, layer="early", channel=1, **OFFERED),
    "jitter": lambda reducer: Jitter(3, LINEAR["mei"](reducer), pixels=1, frames=1, samples=3),
}
ALL = {**LINEAR, **OTHERS}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def optimum(objective: AbstractObjective, norm: float = 3.0) -> Tensor:
    """The stimulus of a norm with the best score; for a linear objective one large step leads to it."""
    problem = Problem(
        0.01 * noise(*SHAPE), objective, partial(GradientDescent, lr=1e6), OptimizationStopper(2), [ChangeNorm(norm)]
    )
    (outcome,) = optimize_stack([problem])
    assert outcome.failure is None
    return outcome.stimulus


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0))


def filters(*neurons: int) -> Tensor:
    mean: Tensor = RETINA.filters[list(neurons)].double().mean(0)
    return mean


def shown(pattern: Tensor, first: int, last: int) -> Tensor:
    """A pattern `(channel, height, width)` in the stimulus frames of the response frames `[first, last)`."""
    stimulus = torch.zeros(SHAPE, dtype=torch.float64)
    stimulus[:, 3 + first : 3 + last] = pattern[:, None] / (last - first)
    return stimulus


EXACT = 0.9999
"""Cosine of a float64 optimum with its closed form; a step that is 10^6 times the start leaves 10^-8 of the start."""


def test_the_optimum_of_a_difference_is_the_difference_of_the_filters() -> None:
    assert cosine(optimum(LINEAR["difference"](WINDOW)), shown(filters(1) - filters(2, 3), 4, 9)) > EXACT


def test_the_optimum_of_a_contrast_has_the_filter_in_the_window_and_its_negative_in_the_baseline() -> None:
    expected = shown(filters(1, 4), 4, 9) - shown(filters(1, 4), 0, 3)
    assert cosine(optimum(LINEAR["contrast"](WINDOW)), expected) > EXACT


def test_a_contrast_counts_both_windows() -> None:
    assert LINEAR["contrast"](WINDOW).window(RESPONSE) == (0, 9)


def test_the_optimum_of_a_rescaled_group_weighs_neurons_by_one_over_their_divisor() -> None:
    expected = shown(filters(1) / 2 + filters(3) / 0.5, 4, 9)
    assert cosine(optimum(LINEAR["rescale"](WINDOW)), expected) > EXACT


def test_the_optimum_under_jitter_is_the_mean_of_the_shifted_filter() -> None:
    objective = Jitter(3, LINEAR["mei"](MeanReducer()), pixels=2, frames=1, samples=6)
    plain = shown(filters(2), 0, RESPONSE)
    expected = torch.zeros(SHAPE, dtype=torch.float64)
    for t, y, x in objective.shifts:  # a stimulus that is shifted there and then seen, is seen where it came from
        for place in np.ndindex(FRAMES, HEIGHT, WIDTH):
            frame, row, column = place[0] + t, place[1] + y, place[2] + x
            if 0 <= frame < FRAMES and 0 <= row < HEIGHT and 0 <= column < WIDTH:
                expected[:, place[0], place[1], place[2]] += plain[:, frame, row, column]
    assert cosine(optimum(objective), expected) > EXACT


def test_jitter_draws_its_shifts_from_the_seed_and_keeps_them() -> None:
    one, same, other = (Jitter(seed, LINEAR["mei"](WINDOW), pixels=2, frames=2, samples=20) for seed in (1, 1, 2))
    assert one.shifts == same.shifts != other.shifts
    assert all(abs(step) <= 2 for shift in one.shifts for step in shift)
    stimulus = noise(1, *SHAPE)
    assert torch.equal(one.forward(stimulus), one.forward(stimulus))


def test_jitter_by_nothing_is_the_objective_itself() -> None:
    still = Jitter(0, LINEAR["mei"](WINDOW), pixels=0, frames=0, samples=3)
    stimulus = noise(2, *SHAPE)
    torch.testing.assert_close(still.forward(stimulus), LINEAR["mei"](WINDOW).forward(stimulus))


def test_a_ratio_divides_by_the_other_response_and_the_offset() -> None:
    response = torch.tensor([[0.0, 6.0, 2.0, 0, 0, 0]] * RESPONSE)
    ratio = Ratio(response_reducer=WINDOW, neuron=1, other_neuron=2, offset=1.0, **OFFERED)
    assert float(ratio.score(response)) == 2.0


def test_a_ratio_ends_a_run_where_its_denominator_is_not_positive_and_keeps_the_last_good_stimulus() -> None:
    ratio = Ratio(response_reducer=WINDOW, neuron=1, other_neuron=2, offset=0.0, **OFFERED)
    start = shown(filters(2), 4, 9)
    problem = Problem(start, ratio, partial(GradientDescent, lr=1e3), OptimizationStopper(50))
    (outcome,) = optimize_stack([problem])
    assert outcome.failure is not None
    assert math.isfinite(outcome.objective)
    assert math.isnan(float(ratio.forward(-start[None])))
    with pytest.raises(ObjectiveError, match="iteration 0"):
        optimize_stack([Problem(-start, ratio, partial(GradientDescent, lr=1.0), OptimizationStopper(1))])


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(LINEAR)), seed=st.integers(0, 1000), start=st.integers(0, 7))
def test_stated_weights_give_the_score(name: str, seed: int, start: int) -> None:
    objective = LINEAR[name](SliceMeanReducer(start=start, length=2))
    response = 10 * noise(RESPONSE, NEURONS, seed=seed)
    weights = objective.stated_weights(RESPONSE)
    assert weights is not None
    # sums of at most 54 numbers of float64 in another order
    torch.testing.assert_close(LinearScores([weights], response[None])(response[None])[0], objective.score(response))


def test_weights_read_nothing_outside_their_windows_and_neurons() -> None:
    objective = LINEAR["difference"](WINDOW)
    response = noise(RESPONSE, NEURONS)
    hidden = torch.full_like(response, math.nan)
    hidden[4:9, 1:4] = response[4:9, 1:4]
    found = scores_of([objective] * 2, hidden.expand(2, -1, -1))[0]
    torch.testing.assert_close(found, objective.score(response))


def scores_of(objectives: Sequence[AbstractObjective], responses: Tensor) -> Tensor:
    return Stack(objectives, responses)(responses)


class Squared(IncreaseObjective):
    """A user's class that changes the score and knows nothing of weights."""

    def score(self, response: Tensor) -> Tensor:
        return super().score(response).square()


class Peak(SliceMeanReducer):
    """A user's reducer that is no mean, though it comes from one."""

    def reduce(self, responses: Tensor) -> Tensor:
        return responses.amax(dim=self._axis)


@pytest.mark.parametrize(
    "objective",
    [
        Squared(RETINA, 1, SESSION, WINDOW),
        IncreaseObjective(RETINA, 1, SESSION, Peak(start=4, length=5)),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_what_is_not_linear_is_scored_by_its_own_method_in_a_stack(objective: AbstractObjective) -> None:
    assert objective.stated_weights(RESPONSE) is None
    responses = noise(3, RESPONSE, NEURONS)
    for score, response in zip(scores_of([objective] * 3, responses), responses, strict=True):
        assert torch.equal(score, objective.score(response))


class Counter(TorchDispatchMode):
    """Counts operations of torch."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += 1
        return function(*arguments, **(options or {}))


def _varied(name: str, reducer: ResponseReducer, run: int) -> AbstractObjective:
    """Objectives of one kind whose neurons, clusters and numbers differ from run to run."""
    neuron, others, offered = run % NEURONS, [(run + 1) % NEURONS, (run + 2) % NEURONS], {"response_reducer": reducer}
    if name == "discriminative":
        off = [others, [(run + 3) % NEURONS]][: 1 + run % 2]
        return MostDiscriminativeStimulus(on=[neuron], off=off, temperature=1.0 + run, **offered, **OFFERED)
    if name == "ratio":
        return Ratio(neuron=neuron, other_neuron=others, offset=1e3 + run, **offered, **OFFERED)
    if name == "difference":
        return Difference(neuron=neuron, other_neuron=others, **offered, **OFFERED)
    if name == "sparse":
        return SparseObjective(RETINA, SESSION, reducer)
    kind = MostExcitingInput if run % 2 else MostDepressingInput
    one = kind(neuron=[neuron, *others] if name == "group" else neuron, **offered, **OFFERED)
    if name == "rescale":
        return Rescale(data_key=SESSION, facts=RETINA.facts, of=one, subtract=1.0 + run, divide=2.0 + run)
    return one + run * SparseObjective(RETINA, SESSION, reducer) if name == "sum" else one


@pytest.mark.parametrize("reducer", [WINDOW, MaxReducer(start=4, length=5)], ids=["mean", "max"])
@pytest.mark.parametrize("name", ["mei", "group", "difference", "ratio", "discriminative", "sparse", "rescale", "sum"])
def test_a_stack_scores_its_runs_as_they_score_alone_with_the_same_operations_for_any_number(
    name: str, reducer: ResponseReducer
) -> None:
    counts = []
    for runs in (4, 12):
        objectives = [_varied(name, reducer, run) for run in range(runs)]
        responses = noise(runs, RESPONSE, NEURONS)
        stack = Stack(objectives, responses)
        with Counter() as counter:
            found = stack(responses)
        counts.append(counter.count)
        alone = [objective.score(response) for objective, response in zip(objectives, responses, strict=True)]
        # float64 sums of at most 60 numbers in another order
        torch.testing.assert_close(found, torch.stack(alone))
    assert counts[0] == counts[1]


class Named(AbstractObjective):
    """A user's class whose attributes have common names."""

    def __init__(self) -> None:
        super().__init__(RETINA, SESSION)
        self.linear, self.call = nn.Linear(1, 1), "me"
        self.members, self.terms = [1, 2], None
        self.weights = torch.arange(6.0)  # type: ignore[method-assign, assignment]  # as a user may

    def score(self, response: Tensor) -> Tensor:
        return (response * torch.arange(6).to(response)).sum()


def test_attributes_of_a_users_class_do_not_meet_those_of_the_base() -> None:
    steps = partial(GradientDescent, lr=0.5)
    several = [Problem(noise(*SHAPE, seed=seed), Named(), steps, OptimizationStopper(1)) for seed in (1, 2)]
    for outcome in optimize_stack(several):
        assert outcome.objective > outcome.history[0].objective


def test_a_stack_of_linear_objectives_is_one_product_whatever_its_size() -> None:
    counts = []
    for runs in (2, 40):
        objectives = [
            MostExcitingInput(response_reducer=WINDOW, neuron=run % NEURONS, **OFFERED) for run in range(runs)
        ]
        with Counter() as counter:
            scores_of(objectives, noise(runs, RESPONSE, NEURONS))
        counts.append(counter.count)
    assert counts[0] == counts[1]


def problems(names: Sequence[str]) -> list[Problem]:
    steps = partial(GradientDescent, lr=0.5)
    return [
        Problem(noise(*SHAPE, seed=seed), ALL[name](WINDOW), steps, OptimizationStopper(4), [ChangeNorm(2.0)])
        for name in names
        for seed in (1, 2)
    ]


def test_every_objective_is_in_a_stack_what_it_is_alone() -> None:
    several = problems(list(ALL))
    for together, alone in zip(optimize_stack(several), [optimize_stack([p])[0] for p in several], strict=True):
        torch.testing.assert_close(together.stimulus, alone.stimulus, rtol=1e-5, atol=1e-5)  # the contract of stacks
        assert together.objective == pytest.approx(alone.objective, rel=1e-5)


class TestMatch:
    def match(self, **settings: Any) -> MatchResponse:
        return MatchResponse(response_reducer=settings.pop("reducer", MeanReducer()), **settings, **OFFERED)

    def saved(self, folder: Path, name: str, value: Tensor) -> str:
        path = folder / name
        if path.suffix == ".npy":
            np.save(path, value.numpy())
        else:
            torch.save(value.float(), path)
        return str(path)

    def test_the_response_to_another_stimulus_is_reached(self, tmp_path: Path) -> None:
        other = noise(1, *SHAPE, seed=9, dtype=torch.float32)
        objective = self.match(neuron="all", stimulus=self.saved(tmp_path, "stimulus.pt", other))
        assert float(objective.forward(other)) == 0
        problem = Problem(noise(*SHAPE), objective, partial(GradientDescent, lr=0.2), OptimizationStopper(400))
        (outcome,) = optimize_stack([problem])
        # the error falls by a constant factor per step, to the rounding of a float32 target of size 10
        assert outcome.objective > -1e-8
        reached, target = (RETINA(stimulus, SESSION) for stimulus in (outcome.stimulus[None], other.double()))
        torch.testing.assert_close(reached, target, rtol=1e-3, atol=1e-3)

    def test_a_trace_of_the_window_or_of_the_whole_response_counts_in_the_window(self, tmp_path: Path) -> None:
        response, target = noise(RESPONSE, NEURONS), noise(RESPONSE, 2, seed=1)
        expected = -float((response[4:9, [1, 3]] - target[4:9].float()).square().mean())
        for name, trace in {"whole.npy": target, "window.npy": target[4:9]}.items():
            found = self.match(neuron=[1, 3], file=self.saved(tmp_path, name, trace), reducer=WINDOW)
            assert found.window(RESPONSE) == (4, 9)
            assert float(found.score(response)) == pytest.approx(expected, rel=1e-6)

    def test_a_vector_is_compared_with_the_reduced_response(self, tmp_path: Path) -> None:
        response, target = noise(RESPONSE, NEURONS), noise(NEURONS, seed=1)
        found = self.match(neuron="all", file=self.saved(tmp_path, "vector.npy", target), reducer=WINDOW)
        expected = -float((response[4:9].mean(0) - target.float()).square().mean())
        assert float(found.score(response)) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("by", ["squared_error", "correlation"])
    @pytest.mark.parametrize("shape", [(RESPONSE, 2), (5, 2), (2,)], ids=["whole", "window", "vector"])
    def test_a_stack_scores_every_run_against_its_own_target(
        self, shape: tuple[int, ...], by: str, tmp_path: Path
    ) -> None:
        responses = noise(3, RESPONSE, NEURONS)
        objectives = [
            self.match(neuron=[run, run + 2], file=self.saved(tmp_path, f"{run}.npy", target), reducer=WINDOW, by=by)
            for run, target in enumerate(noise(3, *shape, seed=1))
        ]
        alone = [objective.score(response) for objective, response in zip(objectives, responses, strict=True)]
        # float64 sums of at most 24 numbers in another order
        torch.testing.assert_close(Stack(objectives, responses)(responses), torch.stack(alone))

    def test_correlation_is_numpys(self, tmp_path: Path) -> None:
        response, target = noise(RESPONSE, NEURONS), noise(RESPONSE, 2, seed=1)
        found = self.match(neuron=[0, 4], file=self.saved(tmp_path, "two.npy", target), by="correlation")
        pairs = [(response[:, 0], target[:, 0]), (response[:, 4], target[:, 1])]
        expected = np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])
        assert float(found.score(response)) == pytest.approx(expected, rel=1e-5)  # the target is kept as float32
        vector = self.match(
            neuron="all", file=self.saved(tmp_path, "vector.npy", target[:6, 0]), reducer=WINDOW, by="correlation"
        )
        expected = np.corrcoef(response[4:9].mean(0), target[:6, 0])[0, 1]
        assert float(vector.score(response)) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        ("value", "settings", "message"),
        [
            (torch.zeros(4, 3), {"neuron": [1, 2]}, r"expected \(2,\) or \(time, 2\) for neurons 1, 2, not \(4, 3\)"),
            (torch.tensor([math.nan, 1.0]), {"neuron": [1, 2]}, "holds NaN or infinity"),
            (torch.ones(RESPONSE, 1), {"neuron": 1, "by": "correlation"}, "does not vary"),
        ],
    )
    def test_a_target_that_does_not_fit_is_refused(
        self, tmp_path: Path, value: Tensor, settings: Mapping[str, Any], message: str
    ) -> None:
        with pytest.raises(SettingError, match=message):
            self.match(file=self.saved(tmp_path, "target.npy", value), **settings)

    def test_a_target_of_another_length_is_refused_before_the_run(self, tmp_path: Path) -> None:
        found = self.match(neuron=1, file=self.saved(tmp_path, "target.npy", noise(7, 1)), reducer=WINDOW)
        with pytest.raises(SettingError, match="7 frames; expected the 5 frames of the window, or all 9"):
            found.window(RESPONSE)

    def test_one_of_file_and_stimulus_is_needed_and_read_as_data(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match=r"file=null; expected either objective\.file or objective\.stimulus"):
            self.match(neuron=1)
        hostile = tmp_path / "hostile.npy"
        np.save(hostile, np.array([print], dtype=object), allow_pickle=True)
        with pytest.raises(SettingError, match=r"hostile\.npy cannot be read: ValueError"):
            self.match(neuron=1, file=str(hostile))


class TestRescale:
    def rescaled(self, **settings: Any) -> Rescale:
        return Rescale(SESSION, RETINA.facts, OTHERS["discriminative"](WINDOW), **settings)

    def test_neurons_of_other_gains_count_alike(self, tmp_path: Path) -> None:
        response = noise(RESPONSE, NEURONS)
        gains, offsets = torch.tensor([1.0, 2, 4, 8, 0.5, 1]), torch.tensor([0.0, 1, -1, 3, 0, 0])
        np.save(tmp_path / "gains.npy", gains.numpy())
        objective = self.rescaled(subtract=offsets.tolist(), divide=str(tmp_path / "gains.npy"))
        expected = OTHERS["discriminative"](WINDOW).score(response)
        torch.testing.assert_close(objective.score(response * gains + offsets), expected)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"divide": 0.0}, "divide=0.0; expected numbers above 0"),
            ({"divide": [1.0, 2.0]}, "divide=2 numbers; expected 1 or 6 finite numbers, as the session has 6 neurons"),
            ({"subtract": [True]}, "subtract=.*; expected a number, a number per neuron"),
            ({"subtract": "nowhere.npy"}, r"subtract=nowhere\.npy does not exist"),
        ],
    )
    def test_numbers_that_do_not_fit_are_refused(self, settings: Mapping[str, Any], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            self.rescaled(**settings)

    def test_an_objective_that_scores_no_responses_is_refused(self) -> None:
        with pytest.raises(SettingError, match="of=Jitter scores no responses"):
            Rescale(SESSION, RETINA.facts, OTHERS["jitter"](WINDOW))


class TestUnit:
    def unit(self, **settings: Any) -> InnerUnit:
        return InnerUnit(response_reducer=settings.pop("reducer", WINDOW), **{"layer": "early", **settings}, **OFFERED)

    @pytest.mark.parametrize(
        ("position", "place"),
        [
            ("center", lambda field: field[:, 2, 2]),  # of 5 rows and 4 columns
            ([0, 3], lambda field: field[:, 0, 3]),
            ("mean", lambda field: field.mean(dim=(1, 2))),
        ],
    )
    def test_it_is_what_a_hook_made_by_hand_reads(self, position: Any, place: Callable[[Tensor], Tensor]) -> None:
        stimulus = noise(1, *SHAPE, dtype=torch.float32)
        seen: list[Tensor] = []
        handle = RETINA.early.register_forward_hook(lambda *call: seen.append(call[2]))
        RETINA(stimulus, SESSION)
        handle.remove()
        # the layer has 10 frames and the response 9: both end with the stimulus
        expected = place(seen[0][0, 2])[1:][4:9].mean()
        assert torch.equal(self.unit(channel=2, position=position).forward(stimulus)[0], expected)

    def test_it_leaves_no_hook_behind_also_where_the_call_fails(self) -> None:
        objective = self.unit()
        objective.forward(noise(2, *SHAPE, dtype=torch.float32))
        assert RETINA.early.handles
        with pytest.raises(RuntimeError):
            objective.forward(noise(1, 1, FRAMES, HEIGHT, WIDTH, dtype=torch.float32))
        assert RETINA.early.hooks_left == 0

    def test_its_optimum_is_the_kernel_of_the_layer(self) -> None:
        kernel = RETINA.early.weight[1].double()
        expected = torch.zeros(SHAPE, dtype=torch.float64)
        for frame in range(5, 10):
            expected[:, frame : frame + 3, 2:5, 2:4] += kernel
        assert cosine(optimum(self.unit(channel=1)), expected) > EXACT

    def test_a_layer_without_a_field_has_units(self) -> None:
        stimulus = noise(1, *SHAPE, dtype=torch.float32)
        found = self.unit(layer="late", channel=4).forward(stimulus)
        assert torch.equal(found[0], RETINA(stimulus, SESSION)[0, 4:9, 4].mean())
        with pytest.raises(SettingError, match="position=mean; expected center, as layer late has no field"):
            self.unit(layer="late", position="mean").forward(stimulus)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"layer": "earl"}, r"layer=earl is not in the model; expected early \(did you mean that\?\)"),
            ({"channel": 3}, "channel=3; expected 0 to 2 in layer early"),
            ({"channel": -1}, "channel=-1; expected 0 or more"),
            ({"position": [5, 0]}, r"position=\[5,0\]; expected a place in the field of layer early, which has 5 rows"),
            ({"position": "top"}, "position=top; expected center, mean, or a row and a column"),
        ],
    )
    def test_a_unit_that_is_not_there_is_refused(self, settings: Mapping[str, Any], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            self.unit(**settings).forward(noise(1, *SHAPE, dtype=torch.float32))

    def test_a_layer_that_is_not_called_once_is_refused(self) -> None:
        class Twice(Linear):
            def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
                super().forward(stimulus)
                return super().forward(stimulus)

        retina = Twice()
        objective = InnerUnit(retina, SESSION, WINDOW, retina.facts, "early")
        with pytest.raises(ModelError, match="reaches its layer early 2 times"):
            objective.forward(noise(1, *SHAPE, dtype=torch.float32))

    def test_layers_are_listed_with_their_shapes(self) -> None:
        stimulus = noise(1, *SHAPE, dtype=torch.float32)
        shapes = layer_shapes(RETINA, lambda: RETINA(stimulus, SESSION))
        assert shapes == {"early": (1, 3, 10, 5, 4), "late": (1, 12, 6)}
        assert RETINA.early.hooks_left == 0


def test_the_sum_of_weights_needs_all_of_them() -> None:
    partly = LINEAR["mei"](WINDOW) + OTHERS["discriminative"](WINDOW)
    assert partly.stated_weights(RESPONSE) is None
    whole = LINEAR["sum"](WINDOW).stated_weights(RESPONSE)
    assert whole is not None
    assert whole == Weights(whole.terms)
