"""The real command, from the command line to a finished folder."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA, Command
from numpy.typing import NDArray

Golden = Mapping[str, NDArray[np.float32]]
MODEL = ("model=ensemble_directory", f"model.path={DATA / 'ensemble'}")
ONE_MEMBER = (*MODEL, "model.members=[0]", "stopper.max_iterations=2", "output=minimal")
VENTRAL = "session=1_ventral1_20201021"
FILES = {
    ".hydra",
    "composition.png",
    "history.csv",
    "optimize.log",
    "response.csv",
    "result.json",
    "stimulus.mp4",
    "stimulus.pt",
}

REFERENCE_CASES = {
    "mei": [],
    "mdi": ["objective=mdi"],
    "sparse": ["objective=sparse", "stopper.max_iterations=50"],
    "group_mei": ["objective=group_mei", VENTRAL, "neuron=[1,5,9,20]"],
    "discriminative": [
        "experiment=most_discriminative",
        "objective.on=[0,1,2,3]",
        "objective.off=[[4,5,6],[7,8,9,10]]",
    ],
    "early_stopping": ["experiment=hoefling_2024", "stopper=fixed", "stopper.max_iterations=200"],
    "range_regularised": ["neuron=7", "stimulus.norm=30", "optimizer.lr=100", "penalty=[range]"],
    "adam": [VENTRAL, "neuron=3", "optimizer=adam", "optimizer.lr=0.05", "stopper.max_iterations=20"],
}
"""The reference problems, by overrides alone."""


def result(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "result.json").read_text())
    assert isinstance(found, dict)
    return found


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def reference_runs(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every reference problem run through the command, two at a time."""
    place = tmp_path_factory.mktemp("reference")

    def run(case: str) -> subprocess.CompletedProcess[str]:
        torch.save(torch.from_numpy(golden[f"{case}/initial"]), place / f"{case}.pt")
        overrides = [*MODEL, *REFERENCE_CASES[case], f"stimulus.file={place / case}.pt", f"out={place / case}"]
        pictures = [] if case == "mei" else ["output=minimal"]
        return subprocess.run(
            [sys.executable, "-m", "openretina_cli", "optimize", *overrides, *pictures],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    with ThreadPoolExecutor(2) as pool:
        for process in pool.map(run, REFERENCE_CASES):
            assert process.returncode == 0, process.stderr
    return {case: place / case for case in REFERENCE_CASES}


@pytest.mark.parametrize("case", REFERENCE_CASES)
def test_the_command_agrees_with_the_reference(case: str, reference_runs: dict[str, Path], golden: Golden) -> None:
    folder = reference_runs[case]
    expected = golden[f"{case}/objective_per_iteration"]
    objectives = np.array([float(row["objective"]) for row in history(folder)])
    measured = min(len(objectives), len(expected))
    # tolerances as in test_reference.py
    assert np.abs(objectives[:measured] - expected[:measured]).max() < 1e-5 * np.abs(expected).max()
    if case != "early_stopping":  # of its 1000 iterations the reference gives, 200 are compared
        stimulus = torch.load(folder / "stimulus.pt", weights_only=True).numpy()
        final = golden[f"{case}/stimulus"]
        assert np.linalg.norm(stimulus - final) < 1e-5 * np.linalg.norm(final)
        if case != "adam":
            # Adam divides by the size of each pixel's gradient, and where that is nothing but rounding, single pixels
            # go astray: the reference's own result is 1.9e-4 of the maximum away from the same run in float64.
            assert np.abs(stimulus - final).max() < 1e-4 * np.abs(final).max()


def test_a_finished_folder_holds_every_file_and_fact(reference_runs: dict[str, Path]) -> None:
    folder = reference_runs["mei"]
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.name for path in (folder / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    facts = result(folder)
    stimulus = torch.load(folder / "stimulus.pt", weights_only=True)
    assert stimulus.shape == (1, 2, 50, 18, 16)
    assert stimulus.dtype == torch.float32
    assert facts["status"] == "completed"
    assert facts["neurons"] == [42]
    assert facts["session"] == "3_ventral1_20201021"
    assert (facts["lag_frames"], facts["frame_rate_hz"], facts["iterations"]) == (30, 30.0, 10)
    assert facts["stop_reason"] == "iterations"
    reported = facts["stimulus"]
    assert isinstance(reported, dict)
    assert reported["norm"] == pytest.approx(float(stimulus.norm()), rel=1e-6)  # float32 sum against float64
    rows = history(folder)
    assert [row["iteration"] for row in rows] == [str(i) for i in range(11)]
    objective = facts["objective"]
    assert isinstance(objective, dict)
    assert objective["final"] == float(rows[-1]["objective"])
    assert objective["initial"] == float(rows[0]["objective"])
    with (folder / "response.csv").open() as file:
        response = list(csv.DictReader(file))
    window = [float(row["neuron_42"]) for row in response[10:20]]
    assert response[0]["stimulus_frame"] == "30"
    # the objective is the mean over the window, summed in float32
    assert np.mean(window) == pytest.approx(objective["final"], rel=1e-5)
    assert "increase neuron 42" in (folder / "optimize.log").read_text()
    assert str(folder) in (folder / ".hydra" / "hydra.yaml").read_text()
    assert ".partial" not in (folder / ".hydra" / "hydra.yaml").read_text()


def test_broken_norms_are_reported(reference_runs: dict[str, Path]) -> None:
    warnings = result(reference_runs["discriminative"])["warnings"]
    assert isinstance(warnings, list)
    assert "where 30 was asked" in warnings[0]


def test_the_console_is_plain_when_it_is_no_terminal(openretina: Command, tmp_path: Path) -> None:
    done = openretina("optimize", *ONE_MEMBER, f"out={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("optimizing ensemble, session 3_ventral1_20201021: increase neuron 42")
    assert len(lines) < 12
    assert done.stderr == ""


def test_a_terminal_shows_a_live_bar_and_a_closing_table(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "openretina_cli", "optimize", *ONE_MEMBER, f"out={tmp_path / 'run'}"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        # on Linux, reading a terminal whose other side was closed is an error
        with contextlib.suppress(OSError):
            while chunk := os.read(controller, 4096):
                shown += chunk
    os.close(controller)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert process.returncode == 0, text
    assert "2/2" in text
    assert "objective" in text
    assert "norm" in text
    assert str(tmp_path) in "".join(text.split())  # a long folder goes over several lines


def test_a_finished_run_is_not_made_again_unless_asked(openretina: Command, tmp_path: Path) -> None:
    arguments = ("optimize", *ONE_MEMBER, f"out={tmp_path / 'run'}")
    assert openretina(*arguments).returncode == 0
    finished = result(tmp_path / "run")["finished"]
    again = openretina(*arguments)
    assert again.returncode == 0
    assert "finished already" in again.stdout
    assert result(tmp_path / "run")["finished"] == finished
    other = openretina(*arguments, "seed=1")
    assert other.returncode == 2
    assert "overwrite=true" in other.stderr
    assert openretina(*arguments, "seed=1", "overwrite=true").returncode == 0
    assert result(tmp_path / "run")["seed"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_sweep_by_hydras_own_launcher_makes_the_same_folders_as_ours(openretina: Command, tmp_path: Path) -> None:
    sweep = ("optimize", "-m", *ONE_MEMBER, "neuron=1..2,9999", f"out={tmp_path / 'sweep'}")
    done = openretina(*sweep, "hydra/launcher=basic")
    assert done.returncode == 2
    assert "neuron=9999 is not in session" in done.stderr
    folders = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert [result(folder)["neurons"] for folder in folders[:2]] == [[1], [2]]
    assert "neuron=9999 is not" in (folders[2] / "failure.json").read_text()
    assert (tmp_path / "sweep" / "index.html").is_file()
    again = openretina(*sweep)
    assert "3 runs, 2 of them finished before" in again.stdout
    assert sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == folders


def test_a_weighted_sum_is_the_sum_of_its_terms(openretina: Command, tmp_path: Path) -> None:
    terms = ["+objective@objective.terms.a=mei", "objective.terms.a.neuron=3", "+objective@objective.terms.b=sparse"]
    overrides = ["objective=weighted_sum", *terms, "objective.weights={a:1,b:-0.1}"]
    done = openretina("optimize", *ONE_MEMBER, *overrides, f"out={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    text = result(tmp_path / "run")["objective"]
    assert isinstance(text, dict)
    assert text["text"].startswith("1 * (increase neuron 3")


CUSTOM = """
from openretina_cli import AbstractObjective

class Score(AbstractObjective):
    def __init__(self, model, data_key, size):
        super().__init__(model, data_key)
        self.size = size
    def score(self, response):
        return response[:, : self.size].mean()

class Forward(AbstractObjective):
    def __init__(self, model, neuron_idx, data_key, response_reducer):
        super().__init__(model, data_key)
        self.neuron, self.reducer = neuron_idx, response_reducer
    def forward(self, stimulus):
        return -self.reducer.forward(self.model_forward(stimulus)[:, self.neuron])
"""


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective._target_=mine.Score", "+objective.size=3"],
        ["objective._target_=mine.Forward", "+objective.neuron_idx=4"],
    ],
    ids=["score", "forward"],
)
def test_a_custom_objective_is_found_in_the_working_directory(
    openretina: Command, tmp_path: Path, overrides: list[str]
) -> None:
    (tmp_path / "mine.py").write_text(CUSTOM)
    done = openretina("optimize", *ONE_MEMBER, "objective=custom", *overrides, f"out={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    objective = result(tmp_path / "run")["objective"]
    assert isinstance(objective, dict)
    assert objective["final"] > objective["initial"]


MODULES = """
import torch

class Video(torch.nn.Module):
    def __init__(self, neurons=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv3d(1, neurons, (5, 8, 6))
    def forward(self, stimulus):
        return torch.nn.functional.softplus(self.conv(stimulus))[..., 0, 0].transpose(1, 2)

class Sessions(Video):
    def forward(self, stimulus, data_key):
        return super().forward(stimulus)[..., : {"left": 2, "right": 3}[data_key]]

class Image(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3 * 8 * 6, 4)
    def forward(self, stimulus):
        return torch.nn.functional.softplus(self.linear(stimulus.flatten(1)))
"""
MODULE = ("model=torch_module", "model.height=8", "model.width=6", "neuron=1", "stimulus.frames=12")


@pytest.mark.parametrize(
    ("overrides", "session", "lag"),
    [
        ("model.module._target_=mine.Video model.channels=[grey] reducer=mean", "default", 4),
        (
            "model.module._target_=mine.Sessions +model.module.neurons=3 model.channels=[grey]"
            " model.sessions=[left,right] session=right neuron=2 reducer.start=2 reducer.length=3",
            "right",
            4,
        ),
        (
            "model.module._target_=mine.Image model.channels=[red,green,blue] model.static=true"
            " stimulus.frames=1 reducer=mean",
            "default",
            0,
        ),
    ],
    ids=["video", "sessions", "image"],
)
def test_any_torch_module_is_a_model(
    openretina: Command, tmp_path: Path, overrides: str, session: str, lag: int
) -> None:
    (tmp_path / "mine.py").write_text(MODULES)
    done = openretina("optimize", *MODULE, *overrides.split(), f"out={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    facts = result(tmp_path / "run")
    assert (facts["session"], facts["lag_frames"]) == (session, lag)
    assert (tmp_path / "run" / "composition.png").stat().st_size > 10_000
    assert (tmp_path / "run" / "stimulus.mp4").is_file()


def test_a_model_is_described(openretina: Command) -> None:
    done = openretina("models", "ensemble_directory", MODEL[1])
    assert done.returncode == 0, done.stderr
    for fact in ("3_ventral1_20201021  113 (0 to 112)", "30 frames", "30 Hz", "50 um", "green, uv", "18 x 16"):
        assert fact in done.stdout


def test_known_models_are_listed_with_their_whereabouts(openretina: Command, tmp_path: Path) -> None:
    done = openretina("models", OPENRETINA_CACHE_DIRECTORY=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "hoefling_2024" in done.stdout
    assert "models fetch" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], "openretina 0."),
        (["--help"], "openretina optimize"),
        (["optimize", "--help"], "optimizer.lr=10.0"),
        (["optimize", "--cfg", "job", "neuron=7"], "neuron: 7"),
        (["optimize", "--cfg", "job", "-p", "stopper"], "max_iterations: 10"),
        (["optimize", "--info", "searchpath"], "configs"),
        (["optimize", "seed=1", "--cfg", "job", "neuron=7"], "seed: 1"),
    ],
    ids=" ".join,
)
def test_what_is_asked_is_printed(openretina: Command, arguments: list[str], expected: str) -> None:
    done = openretina(*arguments)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("openretina opt", "optimize"),
        ("openretina optimize objective=m", "objective=mei"),
        ("openretina optimize stopper.max", "stopper.max_iterations="),
    ],
)
def test_tab_completes(openretina: Command, line: str, expected: str) -> None:
    done = openretina("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_a_run_does_not_wait_for_torchs_compiler(tmp_path: Path) -> None:
    # torch 2.4 imports sympy by itself, as it makes a parameter on the meta device
    compiler = ["torch._dynamo", *(["sympy"] if torch.__version__ >= (2, 13) else [])]
    program = (
        "import sys; from openretina_cli.main import main; code = main(sys.argv[1:]); "
        f"print(code, [name for name in {compiler} if name in sys.modules])"
    )
    arguments = ["optimize", *ONE_MEMBER, "neuron=1", f"out={tmp_path / 'run'}"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stderr
