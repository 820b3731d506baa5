"""Every option of the search space through every door: a sweep, Python, the page, pictures and validation."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import result

from openretina_cli.config.compose import compose_settings
from openretina_cli.main import main
from openretina_cli.output.view import read_view
from openretina_cli.run.natural import natural_clips
from openretina_cli.run.solver import Solver
from openretina_cli.simulation.movies import movies

CHEAP = ("model.members=[0,1]", "device=cpu", "output=[tensor,tables]", "neuron=30", "stopper.max_iterations=2")
LAYER = "members.1.core.features.layer0.nonlin"
IMAGE = (
    *("model=torch_module", "model.module._target_=test_presets.Image", "model.static=true", "model.channels=[grey]"),
    *("model.height=8", "model.width=6", "model.stimulus_range=[[-3,3]]", "neuron=1"),
)
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "blur": ("gradient=[blur]", "gradient.blur.sigma_end=0.1", "gradient.blur.sigma_frames=1"),
    "spectral": ("gradient=[spectral,normalize]", "gradient.spectral.alpha_time=1"),
    "gradient_mask": ("gradient=[mask]", "gradient.mask.sigma_um=150"),
    "fourier": ("stimulus=fourier", "stimulus.cutoff=0.004", "stimulus.unit=cycles_per_um", "stimulus.cutoff_hz=10"),
    "phases": ("stimulus=fourier", "stimulus.phase_only=true", "stimulus.movie=movie.npy"),
    "low_rank": ("stimulus=low_rank", "stimulus.rank=2", "stimulus.jointly=true"),
    "clip": ("stimulus=clip", "stimulus.movie=movie.npy", "stimulus.best_of=4"),
    "file": ("stimulus.file=mei/stimulus.pt", "stimulus.norm=6"),
    "lowpass": ("constraint=[spatial_lowpass,temporal_lowpass,norm]",),
    "rank": ("constraint=[rank,norm_and_range]",),
    "mask_of_file": ("constraint=[mask,norm]", "constraint.mask.file=mask.npy"),
    "mask_of_run": ("constraint=[mask,norm]", "constraint.mask.from_run=mei"),
    "pin": ("constraint=[pin,norm_and_range]", "constraint.pin.first=5", "constraint.pin.last=1"),
    "display": ("constraint=[display]", "constraint.display.mean=100", "constraint.display.std=50"),
    "unit": ("objective=unit", f"objective.layer={LAYER}", "objective.channel=3"),
    "match": ("objective=match", "objective.stimulus=mei/stimulus.pt"),
    "match_file": ("objective=match", "objective.file=trace.npy", "objective.by=correlation"),
    "ratio": ("objective=ratio", "objective.other_neuron=3"),
    "difference": ("objective=difference", "objective.other_group=28"),
    "contrast": ("objective=contrast",),
    "rescale": ("objective=rescale", "objective.divide=2", "objective.subtract=0.5"),
    "jitter": ("objective=jitter", "objective.samples=2", "objective.frames=1"),
    "diverse": ("objective=diverse", "objective.reference=mei", "objective.count=3"),
    "schedule": ("optimizer=sgd_cosine",),
    "restarts": ("restarts=3",),
    "robust": ("experiment=robust",),
    "vivit": ("experiment=vivit_2025", "reducer.start=0", "constraint.pin.first=30"),
    "in_the_loop": ("experiment=model_in_the_loop_2026",),
    "walker": ("experiment=walker_2019", *IMAGE, "constraint.display.mean=111", "constraint.display.std=60"),
}
NOT_JUDGED = {"unit": "which is no neuron", "in_the_loop": "readouts centred", "walker": ""}
"""What `validate` leaves out, and what it says of it."""


def words(name: str, *more: str) -> list[str]:
    """The overrides of an option: cheap first, so that it may say otherwise."""
    chosen = [word for word in CHEAP if name != "walker" or not word.startswith("model.")]
    return [*chosen, *OPTIONS[name], *more]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For every option a sweep over two seeds; the working directory holds the files that they name."""
    root = tmp_path_factory.mktemp("options")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        np.save("movie.npy", movies(3, seed=3, frames=60).numpy())
        np.save("trace.npy", np.sin(np.arange(20)))
        np.save("mask.npy", np.eye(18, 16) * 0.5 + 0.5)
        assert main(["optimize", *CHEAP, "stopper.max_iterations=20", "out=mei"]) == 0
        for name in OPTIONS:
            assert main(["optimize", "-m", *words(name, "seed=1,2"), f"out=runs/{name}"]) == 0, name
    return root


@pytest.fixture(autouse=True)
def inside(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of the runs."""
    monkeypatch.chdir(runs)


def folder(name: str, seed: int = 2) -> Path:
    return Path("runs") / name / f"seed={seed}"


class Silent:
    """Hears nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: None


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sweep_and_python_agree(name: str) -> None:
    found = [result(folder(name, seed)) for seed in (1, 2)]
    assert [run["status"] for run in found] == ["completed"] * 2
    assert [run["runs_in_batch"] for run in found] == [2, 2]
    ((_, solved),) = Solver(Silent()).solve([(name, compose_settings(words(name, "seed=2")))])
    there = torch.load(folder(name) / "stimulus.pt", weights_only=True)[0]
    # float32 sums of a stack and of a run alone agree to 1e-5; Adam divides by the gradient, and so magnifies rounding
    # where there is hardly any
    difference = solved.outcome.stimulus - there  # type: ignore[union-attr]
    assert float(difference.norm()) < 1e-4 * float(there.norm())


def test_the_page_and_the_table_list_them() -> None:
    assert main(["report", "runs"]) == 0
    with Path("runs/summary.csv").open() as table:
        rows = {row["folder"]: row for row in csv.DictReader(table)}
    assert {name: row["status"] for name, row in rows.items()} == {
        f"{name}/seed={seed}": "completed" for name in OPTIONS for seed in (1, 2)
    }
    told = {name for name, row in rows.items() if row["starts"]}
    assert told == {f"{name}/seed={seed}" for name in ("restarts", "diverse") for seed in (1, 2)}
    page = Path("runs/index.html").read_text()
    assert all(rows[name]["starts"] in page for name in told)


def test_their_pictures_are_drawn_from_their_folders() -> None:
    assert main(["render", *(str(folder(name)) for name in OPTIONS), "video=false", "dpi=20", "workers=0"]) == 0
    for name in OPTIONS:
        assert (folder(name) / "composition.png").stat().st_size > 1000
    assert (folder("diverse") / "members.png").is_file()
    assert read_view(folder("unit")).trace_names == (f"channel 3 of {LAYER}",)


def test_they_are_judged_by_the_truth(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("openretina_cli.validation.bench.natural_clips", lambda frames: natural_clips(frames, 4))
    assert main(["validate", *(str(folder(name)) for name in OPTIONS), "out=judged"]) == 1
    said = capsys.readouterr()
    with Path("judged/validation.csv").open() as table:
        rows = {Path(row["source"]).parent.name: row for row in csv.DictReader(table)}
    assert set(rows) == OPTIONS.keys() - NOT_JUDGED.keys()
    lines = [line for line in said.out.replace("\n", " ").split("runs/") if "seed=2" in line]
    for name, why in NOT_JUDGED.items():
        assert any(line.startswith(f"{name}/seed=2") and why in line for line in lines) or not why
    members = result(folder("diverse"))["set"]["members"]
    assert float(rows["diverse"]["predicted"]) == pytest.approx(max(m["activation"] for m in members), rel=1e-5)


def test_a_run_whose_file_changed_or_is_gone_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"clip": "movie.npy", "mask_of_file": "mask.npy", "match_file": "trace.npy", "file": "mei/stimulus.pt"}
    settings = {
        **{"clip": "stimulus.movie", "mask_of_file": "constraint.mask.file", "match_file": "objective.file"},
        "file": "stimulus.file",
    }
    for name, file in files.items():
        before = Path(file).read_bytes()
        try:
            for problem in ("which has changed since", "which is not there"):
                Path(file).write_bytes(before + b"0") if "changed" in problem else Path(file).unlink()
                assert main(["validate", str(folder(name))]) == 2
                error = capsys.readouterr().err
                assert f"was made with {settings[name]}={file}, {problem}" in error
                assert error.count("\n") == 1
        finally:
            Path(file).write_bytes(before)


def test_an_inner_unit_has_its_own_trace_in_the_table() -> None:
    view, final = read_view(folder("unit")), result(folder("unit"))["objective"]["final"]
    start, stop = view.window or (0, 0)
    assert view.response.shape == (20, 1)
    # the objective is the mean over the window, in float32
    assert float(view.response[start:stop].mean()) == pytest.approx(final, rel=1e-5)
    header, *_ = (folder("unit") / "response.csv").read_text().splitlines()
    assert header == f"response_frame,stimulus_frame,time_s,channel_3_of_{LAYER}"
