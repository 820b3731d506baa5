"""Numbers come first: a picture that cannot be drawn or written is a warning, and the run is finished nevertheless."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import optimize, result

from openretina_cli.main import main
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.figure import Figure
from openretina_cli.store.folder import RunFolder

NUMBERS = {"stimulus.pt", "history.csv", "response.csv", "result.json", "optimize.log", ".hydra"}
DRAWN = ("output=full", "output.figure.dpi=30")
MISSING = "stimulus.mp4 is missing: it could not be written: "

Captured = pytest.CaptureFixture[str]

BACKEND = """
import os
import numpy as np
from openretina_cli.output.drawing.draw import draw_pictures
from openretina_cli.output.figure import Figure
from openretina_cli.output.view import RunView
still = RunView(np.ones((1, 1, 4, 4), np.float32), ("grey",), np.zeros((0, 0)), (), 0, None, None, None, "a still")
print(*draw_pictures(still, {"composition.png": Figure(["png"], 30)}).files, os.environ["MPLBACKEND"])
import matplotlib
print(matplotlib.rcParams["backend"])
"""


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "svg"])
def test_the_users_backend_has_no_say_in_a_figure_and_stays_as_it_is(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BACKEND],
        env={**os.environ, "MPLBACKEND": backend, "DISPLAY": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    drawn, kept = done.stdout.splitlines()
    assert drawn == f"composition.png {backend}"
    # where a notebook's backend is not installed, matplotlib chooses one that is
    assert kept == backend or (backend != "svg" and kept == "agg")


def test_a_run_whose_video_cannot_be_written_is_finished_and_says_so_until_it_is_drawn(
    tmp_path: Path, capsys: Captured
) -> None:
    run = tmp_path / "run"
    (run / "stimulus.mp4" / "in the way").mkdir(parents=True)
    assert optimize(run, *DRAWN) == 0
    assert {path.name for path in run.iterdir()} == {*NUMBERS, "composition.png", "stimulus.mp4"}
    (warning,) = result(run)["warnings"]
    assert warning.startswith(MISSING)
    assert result(run)["status"] == "completed"
    assert MISSING in " ".join(capsys.readouterr().out.split())
    shutil.rmtree(run / "stimulus.mp4")
    assert main(["render", str(run)]) == 0
    assert (run / "stimulus.mp4").is_file()
    assert result(run)["warnings"] == []


def test_a_sweep_whose_pictures_cannot_be_written_is_finished_and_says_so(tmp_path: Path, capsys: Captured) -> None:
    sweep = tmp_path / "sweep"
    (sweep / "n1" / "stimulus.mp4" / "in the way").mkdir(parents=True)
    subdir = "hydra.sweep.subdir=n${neuron}"
    assert optimize(sweep, "-m", "neuron=1,2", subdir, *DRAWN, "hydra.launcher.workers=0") == 0
    assert [result(sweep / name)["status"] for name in ("n1", "n2")] == ["completed", "completed"]
    assert (sweep / "n2" / "stimulus.mp4").is_file()
    told = " ".join(capsys.readouterr().out.split())
    assert MISSING in told
    assert f"Try again: openretina render {sweep}" in told.replace("- ", "-")
    with (sweep / "summary.csv").open() as file:
        warnings = {row["neuron"]: row["warnings"] for row in csv.DictReader(file)}
    assert warnings["1"].startswith(MISSING)
    assert not warnings["2"]
    shutil.rmtree(sweep / "n1" / "stimulus.mp4")
    numbers = (sweep / "n2" / "result.json").stat().st_mtime_ns
    assert optimize(sweep, "-m", "neuron=1,2", subdir, *DRAWN, "hydra.launcher.workers=0") == 0
    assert (sweep / "n1" / "stimulus.mp4").is_file()
    assert result(sweep / "n1")["warnings"] == []
    assert (sweep / "n2" / "result.json").stat().st_mtime_ns == numbers


def test_the_same_command_draws_what_a_killed_one_had_no_time_to_draw(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert optimize(run, *DRAWN) == 0
    numbers = (run / "result.json").read_bytes()
    picture = (run / "composition.png").read_bytes()
    (run / "composition.png").unlink()
    assert optimize(run, *DRAWN) == 0
    assert (run / "composition.png").read_bytes() == picture
    assert (run / "result.json").read_bytes() == numbers


def test_warnings_about_other_pictures_and_other_things_stay(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"warnings": ["the norm is off", "stimulus.mp4 is missing: why"], "x": 0.1}')
    figure = {"composition.png": Figure(["png"], 30)}
    store_pictures(Drawn.none(figure, "no font"), figure, RunFolder(tmp_path))
    expected = ["the norm is off", "stimulus.mp4 is missing: why", "composition.png is missing: no font"]
    assert result(tmp_path) == {"warnings": expected, "x": 0.1}
    store_pictures(Drawn({"composition.png": b"drawn"}, {}), figure, RunFolder(tmp_path))
    assert result(tmp_path)["warnings"] == expected[:2]
    assert (tmp_path / "composition.png").read_bytes() == b"drawn"
