"""Several starts in one run, and learning rates that follow a schedule: by the real command, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import optimize, result
from torch import Tensor

from openretina_cli import AbstractObjective, OptimizationStopper, Problem
from openretina_cli.config.compose import compose_settings
from openretina_cli.errors import SettingError
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.optimizer import OptimizerInit, build_scheduled, shared_by
from openretina_cli.output.composition.layout import title_lines
from openretina_cli.output.view import read_view
from openretina_cli.report import write_report
from openretina_cli.run.restarts import start_seeds
from openretina_cli.store.identity import settings_key
from openretina_cli.store.starts import labels_of, remark_of

STEPS = ("stopper.max_iterations=3", "stimulus.std=1")


def stimulus(folder: Path) -> Tensor:
    found: Tensor = torch.load(folder / "stimulus.pt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three starts, and a run from each of their seeds."""
    root = tmp_path_factory.mktemp("restarts")
    assert optimize(root / "three", "restarts=3", *STEPS) == 0
    for number, seed in enumerate(start_seeds(0, 3)):
        assert optimize(root / f"start{number}", f"seed={seed}", *STEPS) == 0
    return root


@pytest.fixture(scope="module")
def starts(folder: Path) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = result(folder / "three")["restarts"]
    return found


def test_every_start_ends_as_a_run_of_its_own(folder: Path, starts: list[Mapping[str, Any]]) -> None:
    assert [start["seed"] for start in starts] == start_seeds(0, 3)
    for number, start in enumerate(starts):
        alone = result(folder / f"start{number}")
        assert start["objective"] == pytest.approx(alone["objective"]["final"], rel=1e-5)  # the contract of stacks
        assert (start["iterations"], start["stop_reason"], start["failure"]) == (3, "iterations", None)


def test_the_best_start_is_kept_and_the_others_compared_with_it(folder: Path, starts: list[Mapping[str, Any]]) -> None:
    best = max(range(3), key=lambda number: starts[number]["objective"])
    assert [start["kept"] for start in starts] == [number == best for number in range(3)]
    kept = stimulus(folder / "three")
    torch.testing.assert_close(kept, stimulus(folder / f"start{best}"), rtol=1e-5, atol=1e-5)
    assert result(folder / "three")["objective"]["final"] == starts[best]["objective"]
    for number, start in enumerate(starts):
        other = stimulus(folder / f"start{number}")
        cosine = torch.cosine_similarity(kept.flatten().double(), other.flatten().double(), dim=0)
        assert start["cosine"] == pytest.approx(float(cosine), abs=1e-5)
    assert len({round(start["cosine"], 3) for start in starts}) == 3


def test_the_other_starts_are_told_on_the_terminal_in_the_figure_and_in_the_report(folder: Path, capsys: Any) -> None:
    starts = [start for start in result(folder / "three")["restarts"] if not start["kept"]]
    (low, high), cosines = sorted(start["objective"] for start in starts), sorted(start["cosine"] for start in starts)
    said = f"the others reach {low:.4g} to {high:.4g}, cosine to it {cosines[0]:.2f} to {cosines[1]:.2f}"
    remark = f"best of 3 starts; {said}"
    view = read_view(folder / "three")
    assert view.remark == remark
    assert remark in " ".join(title_lines(view))
    assert optimize(folder / "three", "restarts=3", *STEPS) == 0
    assert "best of 3 starts; the others reach" in capsys.readouterr().out
    write_report(folder)
    assert (folder / "index.html").read_text().count(remark) == 1
    assert read_view(folder / "start0").remark == ""


@pytest.mark.parametrize("broken", [3, "x", [3], [{}], [{"objective": "x", "cosine": None}], {"members": 3}])
def test_a_record_of_starts_that_a_stranger_wrote_is_not_read(broken: Any) -> None:
    assert remark_of({"restarts": broken}) == remark_of({"set": broken}) == ""
    assert labels_of({"set": broken}) == ()


def test_the_first_start_is_that_of_one_start_and_no_seed_of_a_sweep_leads_to_another() -> None:
    assert start_seeds(7, 1) == [7]
    seeds = [seed for run in range(200) for seed in start_seeds(run, 5)]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < 2**53  # so that JavaScript reads them as they are written


def test_restarts_are_part_of_the_identity_and_one_of_them_is_none(folder: Path, capsys: Any) -> None:
    one, three = (compose_settings([f"restarts={count}"]) for count in (1, 3))
    assert one.key != three.key
    earlier = {name: value for name, value in one.values.items() if name != "restarts"}
    assert settings_key(earlier) == one.key
    assert result(folder / "start0")["restarts"] is None
    assert optimize(folder / "three", "restarts=3", *STEPS) == 0
    assert "this run is finished already" in capsys.readouterr().out
    assert optimize(folder / "three", "restarts=2", *STEPS) == 2
    assert "restarts changed" in capsys.readouterr().err


def test_a_sweep_stacks_runs_of_several_starts(folder: Path, tmp_path: Path) -> None:
    assert optimize(tmp_path, "-m", "neuron=0,1", "restarts=3", *STEPS) == 0
    found = {path.name: result(path) for path in tmp_path.iterdir() if path.is_dir()}
    assert [run["runs_in_batch"] for run in found.values()] == [2, 2]
    alone = result(folder / "three")["restarts"]
    for start, other in zip(found["neuron=1"]["restarts"], alone, strict=True):
        assert start["objective"] == pytest.approx(other["objective"], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restarts=0",), "restarts=0; expected 1 to 100"),
        (("restarts=2", "stimulus.std=0"), "restarts=2 would start from the same stimulus each time"),
    ],
)
def test_starts_that_are_not_several_are_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: Any
) -> None:
    assert optimize(tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


class Slope(AbstractObjective):
    """The sum of the stimulus, whose gradient is 1 everywhere."""

    def __init__(self) -> None:
        super().__init__(lambda stimuli: stimuli, None)

    def score(self, response: Tensor) -> Tensor:
        return response.sum()


def scheduled(rule: type[torch.optim.lr_scheduler.LRScheduler], **settings: Any) -> OptimizerInit:
    return build_scheduled(torch.optim.SGD, {"lr": 8.0}, rule, settings)


def climbed(make: OptimizerInit, *iterations: int) -> list[float]:
    start = torch.zeros((1, 1, 1, 1))
    problems = [Problem(start, Slope(), make, OptimizationStopper(count)) for count in iterations]
    return [float(outcome.stimulus) for outcome in optimize_stack(problems)]


def test_a_schedule_sets_the_rate_of_every_step_of_every_run_of_a_stack() -> None:
    halved = scheduled(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    assert climbed(halved, 1, 2, 4) == [8, 8 + 4, 8 + 4 + 2 + 1]
    assert climbed(halved, 4) == [15]


def test_runs_share_an_optimizer_where_their_schedules_are_equal() -> None:
    rule = torch.optim.lr_scheduler.StepLR
    one, same, other = (scheduled(rule, step_size=1, gamma=gamma) for gamma in (0.5, 0.5, 0.25))
    assert shared_by(one) == shared_by(same) != shared_by(other)
    assert shared_by(one) != shared_by(partial(torch.optim.SGD, lr=8.0))


def test_a_schedule_that_measures_the_objective_or_does_not_fit_is_refused() -> None:
    with pytest.raises(SettingError, match="ReduceLROnPlateau measures the objective itself"):
        scheduled(torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(SettingError, match=r"optimizer\.schedule: StepLR does not take step_length=1"):
        scheduled(torch.optim.lr_scheduler.StepLR, step_length=1)


RATE = "+optimizer.schedule={_target_:torch.optim.lr_scheduler.StepLR,step_size:1,gamma:0.5}"


def test_a_schedule_is_given_on_the_command_line(tmp_path: Path, capsys: Any) -> None:
    weak = ("optimizer.lr=1e-3", "constraint=[]", "stopper.max_iterations=2")
    for name, words in {"steady": (), "falling": (RATE,)}.items():
        assert optimize(tmp_path / name, *weak, *words) == 0
    start = tmp_path / "start"
    assert optimize(start, *weak, "stopper.max_iterations=0") == 0
    moves = [stimulus(tmp_path / name) - stimulus(start) for name in ("steady", "falling")]
    # two steps of 1e-3 change the gradient of a softplus by less than 1e-3 of itself
    torch.testing.assert_close(moves[1], 0.75 * moves[0], rtol=1e-2, atol=1e-8)
    assert result(tmp_path / "falling")["settings"]["optimizer"]["schedule"]["_target_"].endswith("StepLR")
    assert optimize(tmp_path / "text", "+optimizer.schedule=falling") == 2
    assert "optimizer.schedule has no _target_. Try: +optimizer.schedule={_target_:" in capsys.readouterr().err
