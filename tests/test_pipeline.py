"""Batches: many runs share a model, its fast form and a stack, and none of them can tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import DATA

from openretina_cli.config.compose import compose_settings
from openretina_cli.config.settings import Settings
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.run.model import build_model
from openretina_cli.run.problem import Plan, WindowedModel, accelerate, plan_run
from openretina_cli.run.result import result_of
from openretina_cli.run.solver import Solved, solve
from openretina_cli.stopper import Step

MODEL = ("model=ensemble_directory", f"model.path={DATA / 'ensemble'}", "model.members=[0,1]", "device=cpu")
CPU = torch.device("cpu")


class Silent:
    """A reporter that only counts."""

    def __init__(self) -> None:
        self.steps: dict[int, int] = {}

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None: ...

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None: ...

    def step(self, run: int, step: Step) -> None:
        self.steps[run] = self.steps.get(run, 0) + 1

    def write(self) -> None: ...


def settings(*overrides: str) -> Settings:
    return compose_settings([*MODEL, "stopper.max_iterations=5", *overrides])


BATCH = [
    ["neuron=3"],
    ["neuron=3", "seed=1"],
    ["neuron=[7,8]", "objective=mdi"],
    ["neuron=5", "session=1_ventral1_20201021"],
    ["neuron=9", "reducer=mean", "constraint=[norm_and_range]", "stimulus.norm=30"],
    ["objective=sparse", "penalty=[range]", "optimizer=adam"],
    ["objective=discriminative", "objective.on=[0,1]", "objective.off=[[2],[3,4]]", "keep=best"],
    ["neuron=11", "stopper=early", "stopper.max_iterations=8", "stopper.patience=2", "stopper.min_delta=1"],
    ["neuron=12", "reducer=max", "constraint=[norm,temporal_lowpass,range]"],
    ["neuron=[1,5,9]", "objective=group_mei", "constraint=[temporal_lowpass_zeros,norm_and_range]"],
    [
        *("objective=weighted_sum", "objective.weights={a:1,b:-0.1}"),
        *("+objective@objective.terms.a=mei", "objective.terms.a.neuron=3", "+objective@objective.terms.b=sparse"),
    ],
    ["neuron=2", "optimizer._target_=torch.optim.RMSprop", "optimizer.lr=0.01"],
]


def test_runs_of_a_batch_are_the_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openretina_cli.run.model.LARGEST_STACK", {"cpu": 4})  # the batch takes three stacks
    reporter = Silent()
    together = solve([settings(*overrides) for overrides in BATCH], reporter)
    assert sum(reporter.steps.values()) == sum(len(run.outcome.history) for run in together)
    for run, overrides in zip(together, BATCH, strict=True):
        (alone,) = solve([settings(*overrides)], Silent())
        # Float32 sums over a larger batch may be taken in another order, which steps amplify a little; seen are 7e-7 at
        # most, in the L2 norm. Rules that divide by the gradient's size make a step of any noise, so that there single
        # pixels are off by up to 1.2e-5 of the largest; without such a rule by 3e-7.
        divides = {"optimizer=adam", "optimizer._target_=torch.optim.RMSprop"}.intersection(overrides)
        away = run.view.stimulus - alone.view.stimulus
        assert np.linalg.norm(away) < 1e-5 * np.linalg.norm(alone.view.stimulus), overrides
        assert np.abs(away).max() < (1e-4 if divides else 1e-5) * np.abs(alone.view.stimulus).max(), overrides
        assert run.outcome.stop_reason == alone.outcome.stop_reason
        assert len(run.outcome.history) == len(alone.outcome.history)


def plans(*batch: list[str]) -> list[Plan]:
    retina = build_model(settings().model, 50, CPU)
    return [plan_run(settings(*overrides), retina, CPU) for overrides in batch]


def test_runs_of_one_window_share_one_fast_form() -> None:
    moved = accelerate(plans(["neuron=3"], ["neuron=9"], ["neuron=3", "reducer=mean"]))
    models = [plan.problem.objective.model for plan in moved]
    assert models[0] is models[1]
    assert models[0] is not models[2]
    assert all(isinstance(model, WindowedModel) for model in models)


def test_the_fast_form_answers_for_what_was_asked_and_for_nothing_else() -> None:
    (plan,) = plans(["neuron=9"])
    (moved,) = accelerate([plan])
    stimulus = plan.problem.stimulus[None]
    full = plan.retina(stimulus, data_key=plan.session)
    fast = moved.problem.objective.model(stimulus)
    assert fast.shape == full.shape
    assert bool(torch.isfinite(fast[:, 10:20, 9]).all())
    assert int(torch.isfinite(fast).sum()) == 10
    # float32 rounding of another order of summation
    torch.testing.assert_close(fast[:, 10:20, 9], full[:, 10:20, 9], rtol=1e-5, atol=0)


def bundled(*overrides: str) -> Plan:
    chosen = compose_settings(["device=cpu", "model.members=[0]", *overrides])
    return plan_run(chosen, build_model(chosen.model, 50, CPU), CPU)


def test_a_cell_type_stands_for_its_neurons() -> None:
    plan = bundled("objective=group_mei", "group=28")
    groups = plan.retina.facts.groups[plan.session]
    assert plan.neurons == tuple(neuron for neuron, group in enumerate(groups) if group == 28)
    assert bundled("objective=mdi", "group=31", "session=simulated_ventral").neurons


def test_a_cell_type_is_told_from_all_others() -> None:
    plan = bundled("objective=discriminative", "objective.on=[28]")
    facts = plan.retina.facts
    assert set(plan.neurons) == set(range(facts.sessions[plan.session]))
    others = len(set(facts.groups[plan.session])) - 1
    assert f"against {others} other clusters" in repr(plan.problem.objective)
    # a stimulus that drives all types alike scores 0 (Burg et al. 2024); float32 rounding of a sum over 12 types
    alike = torch.ones(20, facts.sessions[plan.session])
    assert float(plan.problem.objective.score(alike)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=group_mei", "group=99"], "group=99 is not in session simulated_dorsal"),
        (["objective=discriminative", "objective.on=[99]"], "objective.on=99 is not in session"),
    ],
)
def test_a_cell_type_that_is_not_there_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        bundled(*overrides)


def test_cell_types_need_a_checkpoint_that_has_them() -> None:
    with pytest.raises(SettingError, match="has no cell types"):
        plans(["objective=group_mei", "group=28"])


def test_a_result_says_what_was_run() -> None:
    (solved,) = solve([settings("neuron=[4,2]")], Silent())
    facts = result_of(solved)
    assert isinstance(solved, Solved)
    assert facts["neurons"] == [4, 2]
    assert facts["window_response_frames"] == [10, 20]
    assert facts["model"]["name"] == "ensemble"
    assert len(facts["model"]["sha256"]) == 64
