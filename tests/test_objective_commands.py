"""Objectives through the real commands, in this process: runs, sweeps, pictures, reports, validation, mistakes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openretina_cli.main import main
from openretina_cli.run.natural import natural_clips
from openretina_cli.run.stated import read_settings_of
from openretina_cli.store.result import read_result

LAYER = "members.1.core.features.layer0.nonlin"
MODEL = ("model.members=[0,1]", "device=cpu", "output=minimal", "stopper.max_iterations=2")
RUNS: Mapping[str, tuple[str, ...]] = {
    "difference": ("objective.other_neuron=[3,4]",),
    "ratio": ("objective.other_group=28",),
    "contrast": ("objective.baseline.length=5",),
    "unit": (f"objective.layer={LAYER}", "objective.channel=3", "objective.position=mean"),
    "rescale": ("objective@objective.of=discriminative", "objective.of.on=[28]", "objective.divide=2"),
    "jitter": ("objective@objective.of=mdi", "objective.frames=1", "objective.samples=2"),
    "match": ("objective.by=correlation",),
}


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For every objective a sweep over two seeds."""
    root = tmp_path_factory.mktemp("objectives")
    np.save(root / "trace.npy", np.sin(np.arange(20)))
    for name, words in RUNS.items():
        own = (f"objective.file={root / 'trace.npy'}",) if name == "match" else ()
        command = [
            "optimize",
            "-m",
            f"objective={name}",
            "neuron=1",
            "seed=1,2",
            *words,
            *own,
            *MODEL,
            f"out={root / name}",
        ]
        assert main(command) == 0, name
    return root


@pytest.mark.parametrize("name", RUNS)
def test_an_objective_works_in_a_sweep_and_in_its_report(name: str, sweeps: Path) -> None:
    runs = [result(path.parent) for path in sorted((sweeps / name).glob("*/result.json"))]
    assert [run["runs_in_batch"] for run in runs] == [2, 2]
    for run in runs:
        assert run["objective"]["final"] > run["objective"]["initial"]
    with (sweeps / name / "summary.csv").open() as table:
        assert [row["status"] for row in csv.DictReader(table)] == ["completed"] * 2


def test_a_run_says_what_it_optimised(sweeps: Path) -> None:
    texts = {name: result(sweeps / name / "seed=1")["objective"]["text"] for name in RUNS}
    assert texts == {
        "difference": "neuron 1 less neurons 3, 4, mean over frames [10, 20)",
        "ratio": "neuron 1 over neurons 80..89 + 0.1, mean over frames [10, 20)",
        "contrast": "increase neuron 1, mean over frames [10, 20), less mean over frames [0, 5)",
        "unit": f"layer {LAYER}, channel 3, mean, mean over frames [10, 20)",
        "rescale": texts["rescale"],
        "jitter": "decrease neuron 1, mean over frames [10, 20), mean over 2 shifts of up to 1 pixels and 1 frames",
        "match": "correlation with trace.npy of neuron 1, mean over frames [10, 20)",
    }
    assert texts["rescale"].endswith("mean over frames [10, 20), each neuron rescaled")


def test_the_target_of_a_match_is_part_of_the_identity(sweeps: Path) -> None:
    assert "objective.file" in result(sweeps / "match" / "seed=1")["identity"]["files"]


def test_the_command_on_a_finished_run_goes_on_from_it(sweeps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "optimize",
        "-m",
        "objective=jitter",
        "neuron=1",
        "seed=1,2",
        *RUNS["jitter"],
        *MODEL,
        f"out={sweeps / 'jitter'}",
    ]
    before = [path.stat().st_mtime_ns for path in (sweeps / "jitter").glob("*/stimulus.pt")]
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in (sweeps / "jitter").glob("*/stimulus.pt")] == before


def test_pictures_are_drawn_from_a_folder(sweeps: Path) -> None:
    folder = sweeps / "unit" / "seed=1"
    assert main(["render", str(folder), "video=false", "dpi=40", "workers=1"]) == 0
    assert (folder / "composition.png").stat().st_size > 1000


def test_runs_are_judged_by_the_truth_and_one_of_an_inner_unit_is_refused(
    sweeps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("openretina_cli.validation.bench.natural_clips", lambda frames: natural_clips(frames, 4))
    folders = [str(sweeps / name / "seed=1") for name in ("jitter", "match")]
    assert main(["validate", *folders, f"out={tmp_path / 'judged'}"]) == 0
    with (tmp_path / "judged" / "validation.csv").open() as table:
        assert [row["objective"] for row in csv.DictReader(table)] == ["jitter", "match"]
    capsys.readouterr()
    assert main(["validate", str(sweeps / "unit" / "seed=1")]) == 1
    assert f"of {LAYER}, which is no neuron" in capsys.readouterr().err


def test_the_settings_of_a_run_with_a_schedule_are_read_back_for_validation(tmp_path: Path) -> None:
    rate = "+optimizer.schedule={_target_:torch.optim.lr_scheduler.StepLR,step_size:1}"
    assert main(["optimize", "neuron=1", rate, *MODEL, f"out={tmp_path / 'out'}"]) == 0
    read = read_settings_of(read_result(tmp_path / "out"))
    assert read.optimizer.arguments["schedule"].target == "torch.optim.lr_scheduler.StepLR"


def test_the_layers_of_a_model_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "simulated_retina", "model.members=[0,1]", "--layers"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("members")}
    assert "1 x 16 x 30 x 8 x 6" in lines[LAYER]
    assert "members.2.core" not in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "objective=ratio",
            "objective.other_neuron=null; expected neurons to compare with, or objective.other_group=28",
        ),
        ("objective=difference objective.other_neuron=900", "objective.other_neuron=900 is not in session"),
        ("objective=contrast objective.baseline.length=0", "objective.baseline.length=0; expected 1 or more, or null"),
        ("objective=contrast objective.baseline=3", "objective.baseline=3; expected a reducer, with its _target_"),
        ("objective=unit objective.layer=core", "objective.layer=core is not in the model; expected one of members"),
        ("objective=unit", "objective.layer is missing. Try: objective.layer=LAYER"),
        (f"objective=unit objective.layer={LAYER} objective.channel=16", "objective.channel=16; expected 0 to 15"),
        ("objective=jitter objective.samples=0", "objective.samples=0; expected 1 to 100"),
        ("objective=jitter objective.of.nueron=3", "objective.of.nueron is no setting; expected neuron"),
        ("objective=rescale objective.divide=-1", "objective.divide=-1.0; expected numbers above 0"),
        ("objective=rescale objective.of=3", "objective.of="),
        ("objective=match", "objective.file=null; expected either objective.file or objective.stimulus"),
        ("objective=match objective.file=nowhere.npy", "objective.file=nowhere.npy does not exist"),
        ("objective=match objective.by=eye", "objective.by=eye; expected one of squared_error, correlation"),
    ],
)
def test_a_mistake_is_one_line(words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["optimize", *words.split(), *MODEL, f"out={tmp_path / 'out'}"])
    error = capsys.readouterr().err
    assert code in (1, 2)
    assert message in error
    assert error.count("\n") == 1


def test_the_response_to_another_runs_stimulus_is_a_target(sweeps: Path, tmp_path: Path) -> None:
    other = sweeps / "difference" / "seed=1" / "stimulus.pt"
    start = ("objective=match", "neuron=1", f"objective.stimulus={other}", f"stimulus.file={other}")
    assert main(["optimize", *start, *MODEL, f"out={tmp_path / 'out'}"]) == 0
    # nothing is nearer to its own response than the stimulus itself
    assert result(tmp_path / "out")["objective"]["initial"] == pytest.approx(0, abs=1e-10)
    assert torch.load(tmp_path / "out" / "stimulus.pt", weights_only=True).shape == (1, 2, 50, 18, 16)
