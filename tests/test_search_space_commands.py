"""Every option of gradient, stimulus and constraint in the real command: in sweeps, pictures, reports, validations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import TINY, optimize, result

from openretina_cli.config.compose import compose_settings
from openretina_cli.main import main
from openretina_cli.run.model import build_model
from openretina_cli.run.problem import plan_run
from openretina_cli.validation.cells import plan_cells

KNOWN = ("+model.pixel_size=50", "+model.frame_rate=30", "stopper.max_iterations=3")
CASES: dict[str, tuple[str, ...]] = {
    "blur": ("gradient=[blur]", "gradient.blur.sigma_end=0.1", "gradient.blur.sigma_frames=1"),
    "spectral": ("gradient=[spectral]", "gradient.spectral.alpha_time=1"),
    "normalize": ("gradient=[normalize]", "gradient.normalize.by=mean_abs"),
    "gradient mask": ("gradient=[mask]", "gradient.mask.sigma_um=60"),
    "fourier": ("stimulus=fourier", "stimulus.cutoff=0.004", "stimulus.unit=cycles_per_um", "stimulus.cutoff_hz=8"),
    "phases": ("stimulus=fourier", "stimulus.phase_only=true", "stimulus.movie=movie.npy"),
    "low_rank": ("stimulus=low_rank", "stimulus.rank=2"),
    "clip": ("stimulus=clip", "stimulus.movie=movie.npy"),
    "spatial_lowpass": ("constraint=[spatial_lowpass,norm]",),
    "rank": ("constraint=[rank,norm]", "constraint.rank.jointly=true"),
    "mask": ("constraint=[mask,norm]", "constraint.mask.from_run=first"),
    "pin": ("constraint=[pin,norm]", "constraint.pin.first=2", "constraint.pin.last=1"),
    "display": ("constraint=[norm,display]", "constraint.display.mean=100", "constraint.display.std=50"),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a movie."""
    monkeypatch.chdir(tmp_path)
    np.save("movie.npy", np.random.default_rng(0).standard_normal((2, 1, 12, 8, 6)).astype(np.float32))
    return tmp_path


def stimulus(folder: Path) -> torch.Tensor:
    found = torch.load(folder / "stimulus.pt", weights_only=True)
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("name", CASES)
def test_runs_of_a_sweep_share_calls_and_are_as_alone(name: str, place: Path) -> None:
    if "from_run" in " ".join(CASES[name]):
        torch.manual_seed(0)
        assert optimize(Path("first"), *KNOWN) == 0
    assert optimize(Path("sweep"), "-m", "seed=1,2", *KNOWN, *CASES[name]) == 0
    folders = sorted((place / "sweep").glob("*/result.json"))
    assert [result(path.parent)["runs_in_batch"] for path in folders] == [2, 2]
    assert optimize(Path("alone"), "seed=2", *KNOWN, *CASES[name]) == 0
    torch.testing.assert_close(stimulus(folders[1].parent), stimulus(place / "alone"), rtol=0, atol=1e-5)
    assert not torch.equal(stimulus(folders[0].parent), stimulus(folders[1].parent))
    found = result(place / "alone")
    assert found["objective"]["final"] > found["objective"]["initial"]


def test_the_best_of_several_stretches_for_the_neuron_is_taken(place: Path) -> None:
    movie, gains = np.load("movie.npy"), np.array([1, -1, 2])
    stretches = [clip[:, first : first + 8] for clip in movie for first in range(5)]
    unit = np.stack([stretch / np.linalg.norm(stretch) for stretch in stretches])
    scores = {}
    for neuron, gain in enumerate(gains):  # by hand: the mean over frames of the softplus of each frame's mean
        rows = np.log1p(np.exp(5 * gain * unit.mean((1, 3, 4)))).mean(1)
        words = (f"neuron={neuron}", "constraint=[norm]", "stopper.max_iterations=0")
        # 200 draws leave out one of ten stretches with a probability of 10 (9/10)^200 = 1e-8
        assert optimize(Path(f"{neuron}"), *KNOWN, *CASES["clip"], *words, "stimulus.best_of=200") == 0
        scores[neuron] = result(Path(f"{neuron}"))["objective"]["final"]
        assert scores[neuron] == pytest.approx(rows.max(), rel=1e-5)
        best = torch.from_numpy(5 * unit[rows.argmax()])[None]
        torch.testing.assert_close(stimulus(Path(f"{neuron}")), best.float(), rtol=1e-5, atol=1e-6)
    assert optimize(Path("best"), *KNOWN, *CASES["clip"], "stimulus.best_of=3", "restarts=3") == 0
    assert len(result(Path("best"))["restarts"]) == 3
    assert optimize(Path("one"), *KNOWN, *CASES["clip"], "stimulus.best_of=0") == 2


def test_every_cell_of_a_validation_starts_as_its_own_run_does() -> None:
    words = [*TINY, *KNOWN, *CASES["clip"], "stimulus.best_of=8", "restarts=2"]
    settings, cpu = compose_settings([*words, "neuron=[0,1,2]"]), torch.device("cpu")
    retina = build_model(settings.model, settings.frames, cpu)
    cells = plan_cells(settings, retina, ["default"], cpu, chosen=True)
    for neuron, cell in enumerate(cells):
        alone = plan_run(compose_settings([*words, f"neuron={neuron}"]), retina, cpu)
        for one, other in zip(
            (cell.problem.stimulus, *cell.starts), (alone.problem.stimulus, *alone.starts), strict=True
        ):
            assert torch.equal(one, other)
    assert not torch.equal(cells[0].problem.stimulus, cells[1].problem.stimulus)


def test_what_a_run_lacks_is_in_its_result(place: Path) -> None:
    tight = ("constraint=[norm_and_range,pin]", "constraint.norm_and_range.range=[-0.1,0.1]", "stimulus.norm=50")
    assert optimize(Path("out"), *KNOWN, *tight, "constraint.pin.first=1", "constraint.pin.value=1") == 0
    (warning,) = result(place / "out")["warnings"]
    # 7 of 8 frames of 48 pixels at 0.1 are counted
    assert (
        warning
        == f"the norm 50 cannot be reached inside the range: the norm is {np.sqrt(7 * 48) / 10:.4g} where 50 was asked"
    )


def test_a_run_whose_mask_is_of_another_stimulus_now_is_not_current(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*KNOWN, *CASES["mask"])
    assert optimize(Path("first"), *KNOWN) == 0
    assert optimize(Path("out"), *words) == 0
    assert optimize(Path("out"), *words) == 0
    assert optimize(Path("first"), *KNOWN, "seed=5", "overwrite=true") == 0
    assert optimize(Path("out"), *words) == 2
    assert "constraint.mask.from_run" in capsys.readouterr().err


ROBUST = ("stimulus=low_rank", "gradient=[blur]", "constraint=[pin,norm_and_range]", "constraint.pin.first=5")
TWIN = ("neuron=[3]", "stopper.max_iterations=2", "device=cpu")


def test_pictures_reports_and_validations_take_them(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ("optimize", "neuron=3", *TWIN[1:], *ROBUST, "output=[tensor,tables]", "out=runs/a")
    assert main(list(run)) == 0
    assert main(["render", "runs"]) == 0
    assert (place / "runs/a/composition.png").is_file()
    assert main(["report", "runs"]) == 0
    assert (place / "runs/index.html").is_file()
    capsys.readouterr()
    assert main([*run[:-1], *CASES["clip"], "out=clip"]) == 2
    assert "expected (clip, 2, time, 18, 16) with 50 frames or more" in capsys.readouterr().err
    assert main(["validate", "--held-out", *TWIN, *ROBUST, "out=held"]) == 0
    assert (place / "held/held_out.csv").is_file()


def test_a_mistake_is_one_line_with_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    mistakes: dict[tuple[str, ...], str] = {
        ("constraint=[display]",): "constraint.display.mean=MEAN",
        ("constraint=[mask]",): "constraint.mask.file=null, as are sigma_um and from_run",
        ("gradient=[mask]", "gradient.mask.sigma_um=50"): "gradient.mask.sigma_um=50: Tiny does not say",
        ("stimulus=fourier", "stimulus.cutoff_hz=5"): "stimulus.cutoff_hz=5: Tiny states no frame rate",
        ("stimulus=clip",): "stimulus.movie is missing. Try: stimulus.movie=MOVIES.npy",
        ("gradient=[blur]", "gradient.blur.sigma=-1"): "gradient.blur.sigma=-1.0; expected 0 to 100",
        ("gradient=[blur]", "gradient.blur.border=wrap"): "gradient.blur.border=wrap; expected one of reflect, zeros",
        ("gradient=[blurr]",): "gradient=blurr is no option; expected blur",
        ("gradient=[spectral]", "gradient.spectral.alpha=-1"): "gradient.spectral.alpha=-1.0; expected 0 or more",
        (
            "gradient=[normalize]",
            "gradient.normalize.by=max",
        ): "gradient.normalize.by=max; expected one of l2, mean_abs",
        ("stimulus=low_rank", "stimulus.rank=0"): "stimulus.rank=0; expected 1 or more",
        ("stimulus=fourier", "stimulus.movie=movie.npy"): "stimulus.movie=movie.npy; expected null, unless phase_only",
        ("stimulus=fourier", "stimulus.unit=um"): "stimulus.unit=um; expected one of cycles_per_pixel, cycles_per_um",
        (*CASES["clip"], "stimulus.best_of=0"): "stimulus.best_of=0; expected 1 to 1000",
        (
            *CASES["clip"],
            "stimulus.frames=13",
        ): "movie.npy holds shape (2, 1, 12, 8, 6); expected (clip, 1, time, 8, 6)",
        ("constraint=[pin]",): "constraint.pin",
        ("constraint=[pin]", "constraint.pin.channels=[uv]"): "constraint.pin.channels",
        ("constraint=[rank]", "constraint.rank.rank=0"): "constraint.rank.rank=0; expected 1 or more",
        ("constraint=[mask]", "constraint.mask.from_run=nowhere"): "constraint.mask.from_run: nowhere",
        ("constraint=[mask]", "constraint.mask.file=movie.npy"): "constraint.mask.file=movie.npy holds shape",
        ("constraint=[temporal_lowpass,norm]", "constraint.temporal_lowpass.kernel_size=4"): "kernel_size=4; expected",
        ("constraint=[display]", "constraint.display.mean=100"): "constraint.display.mean and std of the grey levels",
        (
            *CASES["clip"],
            "stimulus.frames=12",
            "stimulus.movie=one.npy",
            "restarts=2",
        ): "a movie longer than the stimulus",
    }
    np.save("one.npy", np.load("movie.npy")[:1])
    for words, message in mistakes.items():
        assert optimize(Path("out"), *words) == 2, words
        error: Any = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
