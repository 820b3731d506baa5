"""What a checkpoint says of itself reaches the constraints, the sweep, the result and the tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from openretina_cli.main import main

TRAINED = "epoch=00_val_evaluation_loss=0.770_final.ckpt"
FEW = ("stopper.max_iterations=1", "stimulus.frames=32", "output=minimal", "device=cpu", "reducer=mean")
BLACK, WHITE = -36.979 / 36.985, (255 - 36.979) / 36.985


def run(checkpoint: Path, out: Path, *overrides: str) -> int:
    quoted = f"model.path='{checkpoint}'"
    return main(["optimize", "model=core_readout", quoted, *FEW, f"out={out}", *overrides])


def result(folder: Path) -> Mapping[str, Any]:
    found = json.loads((folder / "result.json").read_text())
    assert isinstance(found, dict)
    return found


def test_the_range_of_the_checkpoint_reaches_the_constraint_and_the_stimulus(zoo: Path, tmp_path: Path) -> None:
    assert (
        run(zoo / TRAINED, tmp_path / "a", "neuron=1", "stimulus.norm=80", "constraint=[range]", "optimizer.lr=1e4")
        == 0
    )
    found = result(tmp_path / "a")
    assert found["model"]["stimulus_range"] == [pytest.approx([BLACK, WHITE])] * 2
    assert f"{BLACK:.6f}"[:8] in found["constraints"][0]
    lows = [low for low, _ in found["stimulus"]["range"].values()]
    assert min(lows) == pytest.approx(BLACK, abs=1e-6)  # the long step is stopped at black
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("overrides", "limits"),
    [
        (("model.stimulus_range=[[-1,2]]",), "[-1.0, 2.0]"),
        (("model.stimulus_range=[[-1,2]]", "constraint.range.range=[-3,3]"), "[-3, 3]"),
        (("constraint.range.range=[null,null]",), "[None, None]"),
    ],
)
def test_a_range_that_is_stated_comes_before_the_checkpoints(
    zoo: Path, tmp_path: Path, overrides: tuple[str, ...], limits: str
) -> None:
    assert run(zoo / TRAINED, tmp_path / "a", "neuron=1", "constraint=[range]", *overrides) == 0
    found = result(tmp_path / "a")
    assert found["constraints"][0].replace(".0", "") == f"range {limits}".replace(".0", "")
    assert found["warnings"] == []


def test_where_no_range_is_known_there_is_no_limit_and_a_warning_says_so(zoo: Path, tmp_path: Path) -> None:
    assert run(zoo / "low_res.ckpt", tmp_path / "a", "neuron=1", "constraint=[range]") == 0
    found = result(tmp_path / "a")
    assert found["model"]["stimulus_range"] is None
    assert found["constraints"] == ["range [None, None]"]
    (warning,) = found["warnings"]
    assert "model.stimulus_range=" in warning


def test_all_neurons_are_those_that_reach_the_quality(zoo: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    assert run(zoo / TRAINED, sweep, "-m", "neuron=all", "model.min_quality=0.79") == 0
    with (sweep / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    qualities = {row["neuron"]: float(row["quality"]) for row in rows}
    assert 1 <= len(qualities) < 5
    assert min(qualities.values()) >= 0.79
    for path in sweep.glob("*/result.json"):
        found = result(path.parent)
        assert found["quality"] == [pytest.approx(qualities[str(found["neurons"][0])], rel=1e-5)]
        assert found["quality_metric"] == "test CorrelationLoss3d"
    assert '"quality":' in (sweep / "index.html").read_text()


def test_a_finished_run_stays_current_where_only_the_least_quality_differs(zoo: Path, tmp_path: Path) -> None:
    """The limit says which neurons `all` means; of a run of one named neuron it shapes no number."""
    assert run(zoo / TRAINED, tmp_path / "a", "neuron=1") == 0
    written = (tmp_path / "a" / "result.json").stat().st_mtime_ns
    assert run(zoo / TRAINED, tmp_path / "a", "neuron=1", "model.min_quality=0.3") == 0
    assert (tmp_path / "a" / "result.json").stat().st_mtime_ns == written
    assert run(zoo / TRAINED, tmp_path / "a", "neuron=1", "model.center_readouts=true") != 0


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("low_res.ckpt", "0.3", "states no quality"),
        (TRAINED, "0.99", "no neuron of session"),
        (TRAINED, "3", "a correlation from -1 to 1"),
    ],
)
def test_a_quality_that_cannot_be_asked_for_is_one_line(
    zoo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, limit: str, words: str
) -> None:
    assert run(zoo / name, tmp_path / "a", "-m", "neuron=all", f"model.min_quality={limit}") == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert words in error


def test_the_verb_models_shows_what_a_file_holds(zoo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(zoo / TRAINED)]) == 0
    shown = capfd.readouterr().out
    for words in ("30 Hz", "50 um", "36.979", "session_2_ventral2_20201117", "0.725", "0.848", "27: 1"):
        assert words in shown
    assert main(["models", str(zoo / "seeds")]) == 0
    assert "members" in capfd.readouterr().out
