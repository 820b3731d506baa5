"""Diverse sets: members that keep a share of a response and differ as much as the cell's invariance lets them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import optimize, result
from torch import Tensor

from openretina_cli import AbstractObjective, ChangeNorm, OptimizationStopper, Problem
from openretina_cli.analysis.decomposition import decompose
from openretina_cli.errors import SettingError
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.main import main
from openretina_cli.objective.diverse import DiverseSet, linear_index
from openretina_cli.optimizer import build_scheduled
from openretina_cli.output.composition.contact_sheet import draw_sheet
from openretina_cli.output.view import read_view
from openretina_cli.report import write_report

SHAPE = (1, 6, 4, 3)
COUNT, SHARE, NORM = 5, 0.85, 2.0
STEPS = 600
COSINE = build_scheduled(torch.optim.SGD, {"lr": 0.3}, torch.optim.lr_scheduler.CosineAnnealingLR, {"T_max": STEPS})


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape or SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FILTERS = torch.linalg.qr(noise(0, math.prod(SHAPE), 2)).Q.T.reshape(2, *SHAPE)
"""Two orthogonal filters of norm 1."""


class Drive(AbstractObjective):
    """A cell's response as a function of the drives of the two filters."""

    def __init__(self, response: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(lambda stimuli: torch.einsum("bcthw,ncthw->bn", stimuli, FILTERS.to(stimuli))[:, None], None)
        self.response = response

    def score(self, response: Tensor) -> Tensor:
        return self.response(response[0, 0], response[0, 1])


def simple(one: Tensor, other: Tensor) -> Tensor:
    return one + 0 * other


def energy(one: Tensor, other: Tensor) -> Tensor:
    return (one.square() + other.square()) / NORM


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("reference") / "stimulus.pt"
    torch.save((NORM * FILTERS[:1]).float(), path)
    return str(path)


def diverse(reference: str, response: Callable[[Tensor, Tensor], Tensor] = simple, **settings: Any) -> DiverseSet:
    return DiverseSet(Drive(response), reference, **{"count": COUNT, "at_least": SHARE, **settings})


def members(objective: DiverseSet) -> Tensor:
    problems = [
        Problem(noise(seed), objective, COSINE, OptimizationStopper(STEPS), [ChangeNorm(NORM)], keep="best")
        for seed in range(1, COUNT + 1)
    ]
    return torch.stack([outcome.stimulus for outcome in optimize_stack(problems)])


@pytest.fixture(scope="module")
def sets(reference: str) -> dict[str, tuple[float, list[dict[str, Any]]]]:
    """The diversity index and the members of a simple and of a complex cell."""
    found = {}
    for cell in (simple, energy):
        objective = diverse(reference, cell)
        report, rows = objective.report_set(members(objective))
        found[cell.__name__] = (report["index"], rows)
    return found


def test_members_of_a_linear_cell_are_a_simplex_around_its_filter(
    sets: dict[str, tuple[float, list[dict[str, Any]]]],
) -> None:
    index, _ = sets["simple"]
    bound = linear_index(SHARE, COUNT)
    assert bound == pytest.approx(math.sqrt(1 - (SHARE**2 - (1 - SHARE**2) / 4)), rel=1e-12)
    # members are 0.01 % above the share by the margin, and each is the best of another iteration
    assert 0.95 * bound < index < bound


def test_a_complex_cell_has_a_higher_index_and_both_keep_the_share(
    sets: dict[str, tuple[float, list[dict[str, Any]]]],
) -> None:
    assert sets["energy"][0] > 1.2 * sets["simple"][0]
    for _, rows in sets.values():
        assert all(row["keeps"] and row["share"] >= SHARE for row in rows)


def test_the_index_is_0_for_equal_members_and_1_for_orthogonal_ones(reference: str) -> None:
    objective = diverse(reference)
    # the distance of equal vectors is bounded below by 1e-4
    assert objective.index(FILTERS[:1].expand(3, -1, -1, -1, -1)) == pytest.approx(0, abs=1e-4)
    assert objective.index(torch.stack([FILTERS[0], 5 * FILTERS[1]])) == pytest.approx(1, rel=1e-6)


def test_distance_in_space_sees_no_difference_in_time_alone(tmp_path: Path) -> None:
    course, other = torch.tensor([0.0, 1, 2, -1, 0, 0]), torch.tensor([3.0, 1, 1, 0, 1, 0])
    maps = noise(3, 2, 4, 3).float()
    torch.save(course[None, :, None, None] * maps[0] + 0.0, tmp_path / "mei.pt")
    objective = DiverseSet(Drive(lambda one, other: one * 0 + 1), str(tmp_path / "mei.pt"), distance="space")
    same = torch.stack([(time[None, :, None, None] * maps[0]) for time in (course, other)])
    assert objective.index(same) == pytest.approx(0, abs=1e-3)  # float32 cosine of 1, under a root
    apart = torch.stack([(course[None, :, None, None] * some) for some in maps])
    expected = math.sqrt(1 - float(torch.cosine_similarity(maps[0].flatten(), maps[1].flatten(), dim=0)))
    assert objective.index(apart) == pytest.approx(expected, rel=1e-4)


def test_a_member_below_the_share_climbs_and_one_above_moves_away(reference: str) -> None:
    objective = diverse(reference)
    rows = torch.stack([0.1 * FILTERS[0], NORM * FILTERS[0] + 0.3 * FILTERS[1], NORM * FILTERS[0]])
    rows.requires_grad_(True)
    objective.forward(rows).sum().backward()
    assert rows.grad is not None
    assert torch.allclose(rows.grad[0], FILTERS[0], atol=1e-7)  # the reference is float32
    away = torch.einsum("cthw,cthw->", rows.grad[1], FILTERS[1])
    assert float(away) > 0
    assert float(torch.einsum("cthw,cthw->", rows.grad[2], FILTERS[1])) < 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 1}, "count=1; expected 2 to 100"),
        ({"at_least": 1.0}, "at_least=1.0; expected a share between 0 and 1"),
        ({"strength": 0.0}, "strength=0.0; expected a positive number"),
        ({"response": lambda one, other: -one}, "reference=.*; expected an objective above 0, not -2"),
    ],
)
def test_values_out_of_range_are_refused(reference: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        diverse(reference, **settings)


def test_a_reference_that_is_no_stimulus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"reference: .*; expected the folder of a run, or its stimulus\.pt"):
        diverse(str(tmp_path))


SET = ("objective=diverse", "objective.count=3", "stopper.max_iterations=5", "neuron=1", "stimulus.std=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and a sweep of two sets of three whose reference it is."""
    root = tmp_path_factory.mktemp("diverse")
    assert optimize(root / "mei", "neuron=1", "stopper.max_iterations=0") == 0
    assert optimize(root / "sets", "-m", *SET, "seed=1,2", f"objective.reference={root / 'mei'}") == 0
    return root


def test_a_run_leaves_its_members_and_says_how_they_did(folder: Path) -> None:
    for seed in (1, 2):
        run = folder / "sets" / f"seed={seed}"
        found, stack = result(run), torch.load(run / "members.pt", weights_only=True)
        assert stack.shape == (3, 1, 8, 8, 6)
        record = found["set"]
        assert record["members"][0]["seed"] == seed
        assert record["reference_response"] == result(folder / "mei")["objective"]["final"]
        assert all(member["keeps"] for member in record["members"])
        best = max(range(3), key=lambda index: record["members"][index]["activation"])
        assert torch.equal(torch.load(run / "stimulus.pt", weights_only=True)[0], stack[best])
    assert found["runs_in_batch"] == 2


def test_of_a_member_that_steps_over_the_share_and_back_the_best_stimulus_is_kept(tmp_path: Path) -> None:
    assert optimize(tmp_path / "mei", "neuron=1", "stopper.max_iterations=20") == 0
    rough = (
        "objective.at_least=0.97",
        "objective.strength=1",
        "optimizer.lr=100",
        f"objective.reference={tmp_path / 'mei'}",
    )
    kept = []
    for steps in (20, 21):  # with steps as long as these, members are below the share after one of them
        assert optimize(tmp_path / str(steps), *SET, *rough, f"stopper.max_iterations={steps}") == 0
        kept += [member["keeps"] for member in result(tmp_path / str(steps))["set"]["members"]]
    assert all(kept)


def test_a_set_alone_is_the_set_in_a_stack(folder: Path, tmp_path: Path) -> None:
    assert optimize(tmp_path / "alone", *SET, "seed=2", f"objective.reference={folder / 'mei'}") == 0
    one, other = (
        torch.load(path / "members.pt", weights_only=True) for path in (tmp_path / "alone", folder / "sets" / "seed=2")
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)  # the contract of stacks


def test_the_stimulus_of_the_reference_is_part_of_the_identity(folder: Path, capsys: Any) -> None:
    words = (*SET, "seed=1", f"objective.reference={folder / 'mei'}")
    assert "objective.reference" in result(folder / "sets" / "seed=1")["identity"]["files"]
    assert optimize(folder / "own", *words) == 0
    changed = 2 * torch.load(folder / "mei" / "stimulus.pt", weights_only=True)
    before = (folder / "mei" / "stimulus.pt").read_bytes()
    torch.save(changed, folder / "mei" / "stimulus.pt")
    assert optimize(folder / "own", *words) == 2
    assert "objective.reference changed" in capsys.readouterr().err
    (folder / "mei" / "stimulus.pt").write_bytes(before)


def test_a_report_lists_sets_as_runs_and_says_what_they_are(folder: Path) -> None:
    write_report(folder / "sets")
    with (folder / "sets" / "summary.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["status"] for row in rows] == ["completed"] * 2
    for row, seed in zip(rows, (1, 2), strict=True):
        index = result(folder / "sets" / f"seed={seed}")["set"]["index"]
        kept = "3 diverse stimuli, 3 of them keep 85% of the reference's response"
        assert row["starts"] == f"{kept}; diversity index {index:.2f} (a linear cell: at most 0.65)"
        assert row["starts"] in (folder / "sets" / "index.html").read_text()
    assert linear_index(0.85, 3) == pytest.approx(0.65, abs=0.005)


def test_a_set_is_drawn_on_one_page_at_once_and_later(folder: Path, tmp_path: Path) -> None:
    words = (*SET, "seed=1", f"objective.reference={folder / 'mei'}")
    assert optimize(tmp_path / "at once", *words, "output=[tensor,tables,figure]", "output.figure.dpi=30") == 0
    assert optimize(tmp_path / "later", *words, "output=[tensor,tables]") == 0
    assert "members.png" not in result(tmp_path / "later")["files"]
    assert main(["render", str(tmp_path / "later"), "video=false", "dpi=30"]) == 0
    assert main(["render", str(folder / "mei"), "video=false", "dpi=30"]) == 0
    assert not (folder / "mei" / "members.png").exists()
    once, later = ((tmp_path / name / "members.png").read_bytes() for name in ("at once", "later"))
    assert once == later
    for name in ("at once", "later"):
        assert {"members.pt", "members.png", "composition.png"} <= set(result(tmp_path / name)["files"])
    (tmp_path / "later" / "members.pt").unlink()
    assert main(["render", str(tmp_path / "later"), "video=false", "overwrite=true"]) == 1
    assert any("members.png is missing: members.pt" in text for text in result(tmp_path / "later")["warnings"])


def test_the_page_shows_the_map_and_the_share_of_every_member(folder: Path) -> None:
    view = read_view(folder / "sets" / "seed=1")
    figure = draw_sheet(view, 30)
    shown = [ax for ax in figure.axes if ax.get_images()]
    members = result(folder / "sets" / "seed=1")["set"]["members"]
    assert [ax.get_title(loc="left") for ax in shown] == [
        f"{place}: {member['share']:.0%}, distance {member['distance']:.2f}" for place, member in enumerate(members)
    ]
    for ax, member in zip(shown, view.members, strict=True):
        np.testing.assert_allclose(ax.get_images()[0].get_array(), decompose(member[0]).spatial)
    assert view.remark in figure.get_suptitle().replace("\n", " ")


def test_an_on_off_cell_of_the_simulated_retina_has_a_higher_index_than_a_sustained_one(tmp_path: Path) -> None:
    found = {}
    for cell, neuron in {"ON-OFF local edge": 30, "OFF sustained": 10}.items():
        own = ("model.members=[0]", f"neuron={neuron}", "gradient=[blur]", "device=cpu", "output=[tensor]")
        mei, out = tmp_path / cell / "mei", tmp_path / cell / "set"
        assert main(["optimize", *own, "stopper.max_iterations=30", f"out={mei}"]) == 0
        many = ("objective=diverse", "objective.count=4", "optimizer=sgd_cosine", "stopper.max_iterations=60")
        assert main(["optimize", *own, *many, f"objective.reference={mei}", f"out={out}"]) == 0
        found[cell] = result(out)["set"]
        assert result(out)["cell_types"][0].startswith(cell)
    assert found["ON-OFF local edge"]["index"] > 1.2 * found["OFF sustained"]["index"]
    assert all(member["keeps"] for record in found.values() for member in record["members"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restarts=2",), "restarts=2 does not go with a set of stimuli. Try: restarts=1"),
        (("stopper=early",), "the members of a set end together; expected stopper=fixed"),
        (("stimulus.std=0",), "objective.count=3 would start from the same stimulus each time"),
        (("objective.reference=nowhere",), "objective.reference: nowhere"),
    ],
)
def test_what_does_not_go_with_a_set_is_one_line(
    folder: Path, tmp_path: Path, words: tuple[str, ...], message: str, capsys: Any
) -> None:
    assert optimize(tmp_path / "out", *SET, f"objective.reference={folder / 'mei'}", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
