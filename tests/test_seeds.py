"""Runs that differ by their seed are taken together; members, descriptions and findings reach table and page."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import result

from openretina_cli.config.compose import compose_settings
from openretina_cli.main import main
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.report import write_report
from openretina_cli.report.findings import MOST_ROWS, OLDER, finding, read_findings
from openretina_cli.report.run import Run
from openretina_cli.report.seeds import together
from openretina_cli.run.model import build_model
from openretina_cli.store.arrays import read_stimulus

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of the bundled model, three seeds each."""
    folder = tmp_path_factory.mktemp("seeds")
    words = [
        "-m",
        "neuron=3,60",
        "seed=0,1,2",
        "device=cpu",
        "output=minimal",
        "stopper.max_iterations=3",
        f"out={folder}",
    ]
    assert main(["optimize", *words]) == 0
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def data_of(directory: Path) -> dict[str, Any]:
    page = (directory / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_a_cell_has_its_best_its_spread_and_the_cosine_of_its_seeds(sweep: Path) -> None:
    rows = rows_of(sweep / "seeds.csv")
    assert [(row["neuron"], row["seeds"]) for row in rows] == [("3", "3"), ("60", "3")]
    for row in rows:
        folders = [f"neuron={row['neuron']},seed={seed}" for seed in SEEDS]
        finals = [result(sweep / name)["objective"]["final"] for name in folders]
        assert row["best_folder"] == folders[int(np.argmax(finals))]
        assert float(row["objective_mean"]) == pytest.approx(np.mean(finals), rel=1e-5)
        assert float(row["objective_sd"]) == pytest.approx(np.std(finals, ddof=1), rel=1e-4)
        # three steps from noise lead to stimuli that no sign or shift brings closer, so that plain cosines are the same
        units = [x / np.linalg.norm(x) for x in (read_stimulus(sweep / name).astype(float) for name in folders)]
        pairs = [float((units[i] * units[j]).sum()) for i, j in ((0, 1), (0, 2), (1, 2))]
        assert float(row["cosine"]) == pytest.approx(np.mean(pairs), rel=1e-4)


def test_the_table_the_stack_and_the_page_say_the_same_of_a_cell(sweep: Path) -> None:
    table, cells, data = rows_of(sweep / "summary.csv"), rows_of(sweep / "seeds.csv"), data_of(sweep)
    assert [row["cell"] for row in table] == ["0"] * 3 + ["1"] * 3
    for row in table:
        cell = cells[int(row["cell"])]
        assert (row["seeds"], row["seeds_mean"], row["seeds_cosine"]) == (
            *(cell["seeds"], cell["objective_mean"], cell["cosine"]),
        )
    for place, (cell, shown) in enumerate(zip(cells, data["cells"], strict=True)):
        names = [data["runs"][run]["name"] for run in shown["runs"]]
        assert names[0] == cell["best_folder"]
        assert sorted(names) == [row["folder"] for row in table if row["cell"] == str(place)]
        assert ("picture" in shown) == (cell["agree"] == "1")
    with np.load(sweep / "stimuli.npz") as stack:
        agreeing = [place for place, cell in enumerate(cells) if cell["agree"] == "1"]
        assert stack["cell"].tolist() == [0, 0, 0, 1, 1, 1]
        assert stack["seed_mean_cell"].tolist() == agreeing
        for place, mean in zip(agreeing, stack["seed_mean"], strict=True):
            # float32 means of three stimuli that are not moved
            np.testing.assert_allclose(mean, stack["stimuli"][stack["cell"] == place].mean(0), atol=1e-6)


def test_seeds_of_reversed_and_later_stimuli_agree(sweep: Path, tmp_path: Path) -> None:
    stimulus = np.zeros((2, 50, 18, 16), np.float32)
    stimulus[:, 30:38, 8, 7] = np.array([1.0, 0.5])[:, None]
    for seed, (sign, shift) in enumerate(((1, 0), (-1, 0), (1, 3))):
        folder = tmp_path / f"seed={seed}"
        folder.mkdir()
        tree = json.loads((sweep / f"neuron=3,seed={seed}" / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps({**tree, "objective": {**tree["objective"], "final": -seed}}))
        (folder / "stimulus.pt").write_bytes(tensor_bytes(sign * np.roll(stimulus, shift, axis=1)))
    write_report(tmp_path)
    (cell,) = rows_of(tmp_path / "seeds.csv")
    assert (float(cell["cosine"]), cell["agree"], cell["best_seed"]) == (pytest.approx(1), "1", "0")
    with np.load(tmp_path / "stimuli.npz") as stack:
        np.testing.assert_allclose(stack["seed_mean"][0], stimulus, atol=1e-6)


def test_other_settings_are_other_cells_and_one_seed_is_none(tmp_path: Path) -> None:
    def run(seed: int, norm: str) -> Run:
        settings = {"seed": str(seed), "number": str(seed), "norm": norm, "output.figure.dpi": str(seed)}
        return Run(tmp_path, f"{seed}{norm}", "./", "completed", seed=seed, settings=settings, final=float(seed))

    _, cells = together([run(0, "5"), run(1, "5"), run(0, "7"), run(0, "7")])
    assert [cell.runs for cell in cells] == [(1, 0)]
    assert together([run(0, "5"), run(0, "7")])[1] == []
    failed = [run(0, "5"), replace(run(1, "5"), status="failed", final=None), run(2, "5")]
    (cell,) = together(failed)[1]
    assert (cell.runs, cell.mean) == ((2, 0, 1), 1.0)


@pytest.mark.parametrize("name", ["neuron", "objective.neuron", "objective.channel"])
def test_cells_whose_seeds_are_their_numbers_are_not_seeds_of_one(name: str, tmp_path: Path) -> None:
    def run(seed: int) -> Run:
        return Run(tmp_path, f"{seed}", "./", "completed", seed=seed, settings={"seed": f"{seed}", name: f"{seed}"})

    assert together([run(1), run(2)])[1] == []


def test_a_report_without_cells_has_no_table_of_them(sweep: Path, tmp_path: Path) -> None:
    tree = (sweep / "neuron=3,seed=0" / "result.json").read_bytes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_bytes(tree)
    (tmp_path / "seeds.csv").write_text("of an earlier report")
    write_report(tmp_path)
    assert not (tmp_path / "seeds.csv").exists()
    assert "seeds" not in rows_of(tmp_path / "summary.csv")[0]


# --- members ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_scores_of_members_are_those_of_each_alone(sweep: Path) -> None:
    retina = build_model(compose_settings([]).model, 50, torch.device("cpu"))
    folder = sweep / "neuron=60,seed=1"
    stimulus, found = torch.from_numpy(read_stimulus(folder))[None], result(folder)["members"]
    alone = [float(member(stimulus, "simulated_dorsal")[0, 10:20, 60].mean()) for member in retina.members]
    # the fast form agrees with the plain one to float32 rounding
    assert found["scores"] == pytest.approx(alone, abs=1e-5)
    assert (found["mean"], found["sd"]) == pytest.approx((np.mean(alone), np.std(alone, ddof=1)), abs=1e-5)
    (row,) = [row for row in rows_of(sweep / "summary.csv") if row["folder"] == folder.name]
    assert (float(row["members_mean"]), float(row["members_sd"])) == pytest.approx(
        (found["mean"], found["sd"]), rel=1e-4
    )


def test_one_member_alone_has_no_spread(tmp_path: Path) -> None:
    words = ["neuron=3", "model.members=[2]", "device=cpu", "output=minimal", "stopper.max_iterations=1"]
    assert main(["optimize", *words, f"out={tmp_path / 'run'}"]) == 0
    assert result(tmp_path / "run")["members"] is None


# --- descriptions and findings ---------------------------------------------------------------------------------------


def test_the_table_describes_as_the_result_does(sweep: Path) -> None:
    for row in rows_of(sweep / "summary.csv"):
        stated = result(sweep / row["folder"])
        for channel, numbers in stated["description"].items():
            for name, value in numbers.items():
                if isinstance(value, float):
                    assert float(row[f"{channel}_{name}"]) == pytest.approx(value, rel=1e-5)
                elif value is None:
                    assert row[f"{channel}_{name}"] == ""
                    assert numbers["reasons"].get(name), name
        assert float(row["colour_angle_deg"]) == pytest.approx(stated["colour"]["angle_deg"], rel=1e-5)


def test_a_finding_that_is_older_than_a_run_says_so(sweep: Path, tmp_path: Path) -> None:
    for name, finished in (("first", "2026-11-01T10:00:00+00:00"), ("second", "2026-11-02T10:00:00+00:00")):
        tree = json.loads((sweep / "neuron=3,seed=0" / "result.json").read_text())
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({**tree, "finished": finished}))
        for place in (tmp_path, tmp_path / name):
            content = {**finding("Asked", "answered", "", []), "made": "2026-11-01T10:00:00+00:00"}
            (place / "mine.finding.json").write_text(json.dumps(content))
    (tmp_path / "new.finding.json").write_text(json.dumps(finding("Asked", "anew", "", [])))
    write_report(tmp_path)
    data = data_of(tmp_path)
    assert [one["text"] for one in data["findings"]] == [f"{OLDER}answered", "anew"]
    assert [run["findings"][0]["text"] for run in data["runs"]] == ["answered", f"{OLDER}answered"]


def test_a_finding_of_any_verb_is_on_the_page_and_a_strange_one_is_not(sweep: Path, tmp_path: Path) -> None:
    for name in ("table.csv", "../secret.png"):
        (tmp_path / name).write_text("")
    content = finding("Asked", "answered", "../secret.png", ["table.csv", "gone.csv"], [["a", "b"]] * (MOST_ROWS + 9))
    (tmp_path / "census.finding.json").write_text(json.dumps(content))
    (tmp_path / "broken.finding.json").write_text("{")
    (tmp_path / "other.finding.json").write_text('{"title": 3, "table": {"a": 1}, "files": "x"}')
    (found, empty) = read_findings(tmp_path)
    assert (found["title"], found["picture"], found["files"]) == ("Asked", "", ["table.csv"])
    assert len(found["table"]) == MOST_ROWS + 1
    assert not any(empty.values())
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_bytes((sweep / "neuron=3,seed=0" / "result.json").read_bytes())
    (run / "mine.finding.json").write_text(json.dumps({"title": "of the run"}))
    write_report(tmp_path)
    data = data_of(tmp_path)
    assert [one["title"] for one in data["findings"]] == ["Asked", ""]
    assert [one["title"] for one in data["runs"][0]["findings"]] == ["of the run"]
