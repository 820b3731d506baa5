"""`respond` and `tune`: the numbers of a plain loop, files whole or not at all, and one line for every mistake."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import TINY, Tiny, optimize

from openretina_cli.config.compose import compose_settings
from openretina_cli.finding.natural import field_of
from openretina_cli.finding.runs import Stimulus, model_of
from openretina_cli.main import main
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.report import write_report
from openretina_cli.run.model import build_model
from openretina_cli.run.natural import clips_of
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.package import config_directory, own_yaml
from openretina_cli.store.result import result_of_tree

MODEL = tuple(word for word in TINY if word.startswith("model"))
RESPOND = (
    *("responses.csv", "selectivity.csv", "confusion.csv", "response_matrix.png", "respond.finding.json"),
    "response_matrix.npz",
)
TUNE = ("tuning.csv", "tuning.png", "tune.finding.json")
Copy = Callable[..., Path]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three cells of a small module, without cell types."""
    folder = tmp_path_factory.mktemp("tiny")
    for neuron in range(3):
        assert optimize(folder / f"neuron={neuron}", f"neuron={neuron}") == 0
    return folder


@pytest.fixture
def runs(sweep: Path, tmp_path: Path) -> Path:
    shutil.copytree(sweep, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The most exciting inputs of one cell of every type of the bundled model, all in the middle of the field."""
    folder = tmp_path_factory.mktemp("bundled")
    retina = build_model(compose_settings(["device=cpu"]).model, 50, torch.device("cpu"))
    groups = retina.facts.groups["simulated_dorsal"]
    neurons = ",".join(str(groups.index(group)) for group in GROUP_NAMES)
    words = ["-m", f"neuron={neurons}", "model.center_readouts=true", "device=cpu", "output=minimal", f"out={folder}"]
    assert main(["optimize", *words]) == 0
    against = ("against=simulated_retina", "against.members=[4]", "against.center_readouts=true")
    assert main(["respond", str(folder), "device=cpu", *against]) == 0
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@torch.no_grad()
def plain(run: Path) -> list[float]:
    """What every neuron of the small module answers to the stimulus of a run."""
    mean: list[float] = Tiny()(torch.from_numpy(read_stimulus(run))[None])[0].mean(0).tolist()
    return mean


def change(run: Path, **fields: Any) -> None:
    path = run / "result.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    for name, value in fields.items():
        owner = tree
        *above, last = name.split("__")
        for key in above:
            owner = owner[key]
        owner[last] = value
    path.write_text(json.dumps(tree), encoding="utf-8")


# --- respond ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_matrix_is_that_of_a_plain_loop_over_the_model(bundled: Path) -> None:
    retina = build_model(compose_settings(["model.center_readouts=true"]).model, 50, torch.device("cpu"))
    with np.load(bundled / "response_matrix.npz", allow_pickle=False) as found:
        assert found["raw"].shape == (120, 12)
        for column, name in enumerate(found["stimulus"]):
            stimulus = torch.from_numpy(read_stimulus(bundled / str(name)))[None]
            loop = {"raw": retina(stimulus, "simulated_dorsal")[0, 10:20].mean(0)}
            if column < 3:
                answers = [member(stimulus, "simulated_dorsal")[0, 10:20].mean(0) for member in retina.members]
                loop |= {"member_sd": torch.stack(answers).std(0), "against": answers[4]}
            for key, values in loop.items():
                # batches of convolutions differ from single ones by float32 rounding
                np.testing.assert_allclose(found[key][:, column], values[found["neuron"]], atol=1e-5, err_msg=key)


def test_the_long_form_says_what_the_matrix_says(bundled: Path) -> None:
    rows = rows_of(bundled / "responses.csv")
    with np.load(bundled / "response_matrix.npz", allow_pickle=False) as found:
        for name, column in (("raw", "response"), ("zscore", "zscore"), ("share", "share"), ("against", "against")):
            numbers = [float(row[column] or "nan") for row in rows]
            # seven digits
            np.testing.assert_allclose(np.reshape(numbers, (12, 120)).T, found[name], rtol=1e-6, atol=1e-7)
    own = [row for row in rows if row["own"] == "1"]
    assert len(own) == 12
    assert all(float(row["share"]) == 1 and row["stimulus_type"] == row["type"] for row in own)


def test_most_types_are_driven_most_by_their_own_stimuli(bundled: Path) -> None:
    rows = rows_of(bundled / "confusion.csv")
    assert len(rows) == 12
    best = [max(list(row)[1:], key=lambda name, row=row: float(row[name])) for row in rows]  # type: ignore[misc]
    assert sum(label == row["type"] for label, row in zip(best, rows, strict=True)) >= 10
    for row in rows:
        # shares of 10 cells, to seven digits
        assert sum(float(value) for name, value in row.items() if name != "type") == pytest.approx(1, abs=1e-6)


def test_selectivity_has_a_row_per_stimulus_and_normalisation_and_the_held_out_member_agrees(bundled: Path) -> None:
    rows = rows_of(bundled / "selectivity.csv")
    assert len(rows) == 3 * 12
    for row in rows:
        assert row["drives_other_more"] == str(int(float(row["other_mean"]) > float(row["own_mean"])))
        assert row["other_type"] != row["type"]
        assert float(row["against_correlation"]) > 0.9, "members of one ensemble learnt one retina"
    with Image.open(bundled / "response_matrix.png") as picture:
        assert picture.width == 2000


def test_a_model_without_types_has_neurons_for_types(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["respond", str(runs), *MODEL, "normalise=raw"]) == 0
    with np.load(runs / "response_matrix.npz") as found:
        np.testing.assert_allclose(found["raw"].T, [plain(runs / f"neuron={n}") for n in range(3)], atol=1e-6)
    printed = capsys.readouterr().out
    assert all(f"default {neuron}" in printed for neuron in range(3))
    assert {path.name for path in runs.iterdir()} == {*RESPOND, "neuron=0", "neuron=1", "neuron=2"}


def test_runs_that_cannot_be_played_are_named_and_the_others_are_played(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "neuron=0" / "stimulus.pt").write_bytes(b"nonsense")
    change(runs / "neuron=1", status="diverged")
    assert main(["respond", str(runs), *MODEL]) == 1
    out, err = capsys.readouterr()
    assert "2 of 3 runs were left out" in err
    assert "stimulus.pt" in out
    assert "diverged" in out
    assert {row["stimulus"] for row in rows_of(runs / "responses.csv")} == {"neuron=2"}


# --- natural clips ---------------------------------------------------------------------------------------------------


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Three movies that differ in how light they are."""
    light = torch.tensor([1.0, 0.2, -1.0])[:, None, None, None, None]
    torch.save(light + torch.randn(3, 1, 12, 8, 6, generator=torch.Generator().manual_seed(1)), tmp_path / "movie.pt")
    return tmp_path / "movie.pt"


def test_percentiles_are_those_of_a_plain_loop_over_clips(runs: Path, movie: Path) -> None:
    rows, columns = np.mgrid[:8, :6]
    spot = np.ones((1, 8, 1, 1)) * np.exp(-((rows - 3) ** 2 + (columns - 2) ** 2) / 2)
    spot *= 5 / np.linalg.norm(spot)  # the norm that the run's constraints hold
    (runs / "neuron=2" / "stimulus.pt").write_bytes(tensor_bytes(spot.astype(np.float32)))
    words = (f"natural={(count := 40)}", f"movie={movie}")
    assert main(["respond", str(runs), *MODEL, *words]) == 0
    table = rows_of(runs / "natural.csv")
    clips = clips_of(torch.load(movie, weights_only=True), 8, count)
    for neuron in range(3):
        stimulus = torch.from_numpy(read_stimulus(runs / f"neuron={neuron}"))
        field = field_of(stimulus.numpy())
        assert isinstance(field, str) == (neuron < 2), "the first two are noise, which has no centre"
        window = 1.0 if isinstance(field, str) else torch.from_numpy(field.window(8, 6)).float()
        answers = []
        for clip in clips:
            windowed = clip * window
            with torch.no_grad():
                answer = Tiny()((windowed * stimulus.norm() / windowed.norm())[None])[0, :, neuron].mean()
            answers.append(float(answer))
        own = plain(runs / f"neuron={neuron}")[neuron]
        optimised, baseline = (row for row in table if row["stimulus"] == f"neuron={neuron}")
        # float32 responses
        assert float(optimised["objective"]) == pytest.approx(own, abs=1e-6)
        assert float(optimised["percentile"]) == pytest.approx(100 * np.mean(np.array(answers) < own))
        assert (float(baseline["objective"]), int(baseline["clip"])) == (
            pytest.approx(max(answers), abs=1e-6),
            int(np.argmax(answers)),
        )
        stated = json.loads((runs / f"neuron={neuron}" / "result.json").read_text())["natural"]
        assert (stated["percentile"], stated["clips"]) == (float(optimised["percentile"]), count)
    write_report(runs)
    summary = rows_of(runs / "summary.csv")
    assert [row["natural_percentile"] for row in summary] == [row["percentile"] for row in table if row["percentile"]]


def test_runs_are_left_as_they_are_where_the_files_go_elsewhere(runs: Path, movie: Path, tmp_path: Path) -> None:
    before = [path.read_bytes() for path in sorted(runs.rglob("result.json"))]
    words = ("natural=4", f"movie={movie}", f"out={tmp_path / 'new'}")
    assert main(["respond", str(runs), *MODEL, *words]) == 0
    assert [path.read_bytes() for path in sorted(runs.rglob("result.json"))] == before
    assert len(rows_of(tmp_path / "new" / "natural.csv")) == 6


def test_no_clip_of_the_simulation_is_above_a_stimulus_of_its_twin(bundled: Path, tmp_path: Path) -> None:
    (first, *_) = sorted(path.parent for path in bundled.glob("*/result.json"))
    run = tmp_path / "run"
    shutil.copytree(first, run)
    write_report(run)
    assert main(["respond", str(run), "natural=50", "device=cpu"]) == 0
    row = rows_of(run / "summary.csv")[0]
    assert (row["natural_percentile"], row["natural_clips"]) == ("100", "50"), "the page and the table are made anew"
    assert float(row["natural_best"]) < float(row["objective_final"])


# --- tune ------------------------------------------------------------------------------------------------------------


def test_tuning_of_a_run_passes_through_its_own_response(runs: Path) -> None:
    assert main(["tune", str(runs / "neuron=2"), *MODEL, "points=5"]) == 0
    rows, own = rows_of(runs / "neuron=2" / "tuning.csv"), plain(runs / "neuron=2")[2]
    assert {row["curve"] for row in rows} == {"contrast", "colour", "size", "time", "right", "down"}
    norm = json.loads((runs / "neuron=2" / "result.json").read_text(encoding="utf-8"))["stimulus"]["norm"]
    for kind, place in {"contrast": norm, "colour": 1.0, "time": 0.0, "right": 0.0, "down": 0.0}.items():
        (row,) = [row for row in rows if row["curve"] == kind and float(row["x"]) == pytest.approx(place, abs=1e-6)]
        assert float(row["response"]) == pytest.approx(own, abs=1e-5), kind  # float32 means
    assert float([row for row in rows if row["curve"] == "size"][-1]["response"]) == pytest.approx(own, abs=1e-5)
    with Image.open(runs / "neuron=2" / "tuning.png") as picture:
        assert picture.width == 2000


def test_the_best_stimulus_of_each_norm_drives_more_than_the_same_shape(runs: Path) -> None:
    assert main(["tune", str(runs / "neuron=2"), *MODEL, "points=5", "reoptimise=true"]) == 0
    rows = rows_of(runs / "neuron=2" / "tuning.csv")
    norm = json.loads((runs / "neuron=2" / "result.json").read_text(encoding="utf-8"))["stimulus"]["norm"]
    again = {float(row["x"]) / norm: float(row["response"]) for row in rows if row["curve"] == "reoptimised"}
    scaled = {float(row["x"]) / norm: float(row["response"]) for row in rows if row["curve"] == "contrast"}
    assert list(again) == pytest.approx([0.25, 0.5, 1, 1.5, 2], rel=1e-4)
    for factor in (0.5, 1.0, 1.5, 2.0):  # which both curves have
        own = min(again, key=lambda found, factor=factor: abs(found - factor))  # type: ignore[misc]
        same = min(scaled, key=lambda found, factor=factor: abs(found - factor))  # type: ignore[misc]
        assert again[own] > scaled[same] - 1e-6
    # the best stimulus of a cell that sees the mean of a frame is uniform: norm / sqrt(8 * 8 * 6), twice that through
    # its weight; one step from the run's own stimulus, which is noise still, stays below
    best = float(torch.nn.functional.softplus(torch.tensor(2 * 2 * norm / 384**0.5)))
    assert again[max(again)] <= best + 1e-5


def test_a_run_without_a_norm_is_not_solved_at_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert optimize(tmp_path / "run", "constraint=[range]") == 0
    assert main(["tune", str(tmp_path / "run"), *MODEL, "points=3", "reoptimise=true"]) == 1
    assert "no constraint of the run holds a norm" in capsys.readouterr().out
    assert not (tmp_path / "run" / "tuning.csv").exists()


def test_tune_of_the_bundled_model_writes_where_it_is_told(bundled: Path, tmp_path: Path) -> None:
    (first, *_) = sorted(path.parent for path in bundled.glob("*/result.json"))
    assert main(["tune", str(first), f"out={tmp_path / 'new'}", "device=cpu"]) == 0
    rows = [row for row in rows_of(tmp_path / "new" / "tuning.csv") if row["curve"] == "colour"]
    assert len(rows) == 121
    assert not (first / "tuning.csv").exists()
    # the derivative along green, by differences of neighbours on either side
    table = np.array([[float(row[key]) for key in ("response", "slope_x", "slope_y")] for row in rows]).reshape(
        11, 11, 3
    )
    middle = (table[2:, 1:-1, 0] - table[:-2, 1:-1, 0]) / 0.4, (table[1:-1, 2:, 0] - table[1:-1, :-2, 0]) / 0.4
    for axis, numeric in enumerate(middle):
        # differences over 0.4 of a smooth function that bends a little
        np.testing.assert_allclose(table[1:-1, 1:-1, 1 + axis], numeric, atol=0.02)


def test_what_is_tuned_and_compared_already_is_not_made_again_unless_it_changed(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in sorted(path.parent.name for path in bundled.glob("*/result.json"))[:2]:
        shutil.copytree(bundled / name, tmp_path / name)
    first, second = sorted(tmp_path.iterdir())
    tune, natural = ("tune", str(tmp_path), "device=cpu", "points=3"), ("natural=4", "device=cpu")

    def stamps(name: str) -> list[int]:
        return [(run / name).stat().st_ino for run in (first, second)]  # a file that is written anew is another file

    assert main([*tune]) == main(["respond", str(tmp_path), *natural]) == 0
    tuned, compared = stamps("tuning.csv"), stamps("result.json")
    table = (tmp_path / "natural.csv").read_bytes()
    assert main([*tune]) == main(["respond", str(tmp_path), *natural]) == 0
    assert "2 of 2 runs tuned, 2 of them before" in capsys.readouterr().out
    assert (stamps("tuning.csv"), stamps("result.json")) == (tuned, compared)
    assert (tmp_path / "natural.csv").read_bytes() == table
    shutil.copy(second / "stimulus.pt", first / "stimulus.pt")
    assert main([*tune]) == main(["respond", str(tmp_path), *natural]) == 0
    for before, name in ((tuned, "tuning.csv"), (compared, "result.json")):
        assert [old == new for old, new in zip(before, stamps(name), strict=True)] == [False, True]
    assert main([*tune, "reoptimise=false", "overwrite=true"]) == 0
    assert stamps("tuning.csv")[1] != tuned[1]


# --- mistakes and interruptions --------------------------------------------------------------------------------------


def _edited(runs: Path, **fields: Any) -> None:
    for run in runs.glob("neuron=*"):
        change(run, **fields)


BUNDLED = {"_target_": "openretina_cli.models.ensemble.ensemble", "name": "simulated_retina"}
MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no folder": ((), "takes one folder, not 0"),
    "two folders": (("RUNS", "RUNS/neuron=0"), "takes one folder, not 2"),
    "no such folder": (("RUNS/none",), "is no folder"),
    "no run": (("RUNS/../empty",), "there is no finished run in"),
    "unknown": (("RUNS", "seed=1"), "has no setting seed"),
    "flag": (("RUNS", "--quick"), "has no setting --quick"),
    "device": (("RUNS", *MODEL, "device=tpu"), "device=tpu; expected auto, cpu"),
    "twice": (("RUNS", "out=a", "out=b"), "out is given twice"),
    "empty out": (("RUNS", "out="), "out=; expected a folder"),
    "out is a file": (("RUNS", "out=RUNS/neuron=0/result.json"), "is a file"),
    "no such model": (("RUNS", "model=nothing"), "model=nothing"),
    "model not chosen": (("RUNS", "model.members=[0]"), "a model that is not chosen"),
    "a user's class": (("RUNS",), "no class that a folder names is imported"),
    "wrong neurons": (("RUNS", "model=simulated_retina"), "neurons that simulated_retina has not"),
}
RESPOND_MISTAKES = {
    "normalise": (("RUNS", "normalise=percent"), "normalise=percent; expected one of raw, zscore, share"),
    "session": (("RUNS", *MODEL, "session=left"), "session=left is not in"),
    "against": (("RUNS", *MODEL, "against=simulated_retina"), "has no such session, and Tiny has 3 in default"),
    "natural": (("RUNS", "natural=-1"), "natural=-1; expected a whole number from 0 to 10000"),
    "natural is no number": (("RUNS", "natural=all"), "natural=all; expected a whole number"),
    "movie alone": (("RUNS", "movie=clips.pt"), "none are asked for"),
    "no movie": (("RUNS", *MODEL, "natural=5", "movie=none.pt"), "movie=none.pt does not exist"),
    "no clips": (("RUNS", *MODEL, "natural=5"), "there are no natural clips for Tiny"),
    "other movie": (("RUNS", *MODEL, "natural=5", "movie=WRONG"), "holds shape (1, 2, 3, 4, 5)"),
    "against not chosen": (("RUNS", "against.members=[0]"), "a model that is not chosen"),
}
TUNE_MISTAKES = {
    "points": (("RUNS", "points=2"), "points=2; expected a whole number from 3 to 51"),
    "overwrite": (("RUNS", "overwrite=1"), "overwrite=1; expected one of true, false"),
    "reoptimise": (("RUNS", "reoptimise=yes"), "reoptimise=yes; expected one of true, false"),
    "points no number": (("RUNS", "points=many"), "points=many; expected a whole number"),
    "against": (("RUNS", "against=simulated_retina"), "has no setting against"),
}
CASES = [
    *(("respond", *case) for case in [*MISTAKES.values(), *RESPOND_MISTAKES.values()]),
    *(("tune", *case) for case in [*MISTAKES.values(), *TUNE_MISTAKES.values()]),
]


@pytest.mark.parametrize(("verb", "words", "said"), CASES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    verb: str, words: tuple[str, ...], said: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep.parent / "empty").mkdir(exist_ok=True)
    wrong = sweep.parent / "wrong.npy"
    np.save(wrong, np.zeros((1, 2, 3, 4, 5), np.float32))
    before = sorted(sweep.rglob("*"))
    code = main([verb, *(word.replace("RUNS", str(sweep)).replace("WRONG", str(wrong)) for word in words)])
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert err.count("\n") == 1, err
    assert said in err
    assert sorted(sweep.rglob("*")) == before


@pytest.mark.parametrize("verb", ["respond", "tune"])
def test_a_run_of_a_unit_inside_the_model_is_not_taken_for_one_of_neurons(
    verb: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _edited(runs, traces=["channel 0 of core.layer"])
    assert main([verb, str(runs), *MODEL]) == 1
    assert "is of channel 0 of core.layer, which is no neuron" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"settings__model": None}, "does not state its model"),
        ({"settings__model": {**BUNDLED, "note": "${oc.env:HOME}"}}, "is not resolved"),
        (
            {"settings__model": {**BUNDLED, "url": "https://example.org/x/"}},
            "names an address that the package does not",
        ),
        ({"settings__model": {"_target_": "os.system", "command": "true"}}, "a class of the user's"),
        ({"settings__model": BUNDLED, "model__sha256": "0" * 64}, "was made with other weights"),
    ],
)
@pytest.mark.parametrize("verb", ["respond", "tune"])
def test_a_folder_cannot_name_code_or_addresses_or_other_weights(
    verb: str, fields: dict[str, Any], said: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _edited(runs, **fields)
    assert main([verb, str(runs)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_packaged_models_may_be_named_by_a_folder() -> None:
    for path in sorted((config_directory() / "model").glob("*.yaml")):
        node = {name: None if value == "???" else value for name, value in own_yaml(path).items()}
        if path.stem in ("torch_module", "ensemble_directory", "core_readout"):
            continue  # whose class or place is the user's
        record = Stimulus(".", result_of_tree({"settings": {"model": node}}, path))
        assert model_of([record]).target == node["_target_"]


def test_stimuli_that_suppress_count_for_no_type(runs: Path) -> None:
    change(runs / "neuron=1", settings__objective={"_target_": "openretina_cli.objective.mdi.MostDepressingInput"})
    assert main(["respond", str(runs), *MODEL]) == 0
    kinds = list(rows_of(runs / "confusion.csv")[0])[1:]
    assert kinds == ["default 0", "default 2"]
    traps = {row["stimulus"]: row["drives_other_more"] for row in rows_of(runs / "selectivity.csv")}
    assert traps["neuron=1"] == ""
    assert all(row["share"] == "" for row in rows_of(runs / "responses.csv") if row["neuron"] == "1")


def test_runs_of_several_models_are_refused_by_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(runs / "neuron=1", settings__model=BUNDLED)
    assert main(["respond", str(runs)]) == 2
    assert "were made with different models" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["matrix_files.np.savez_compressed", "matrix_files.draw_matrix", "matrix._answer"])
def test_ctrl_c_leaves_nothing_half(place: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(runs.rglob("*"))

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"openretina_cli.finding.{place}", interrupt)
    assert main(["respond", str(runs), *MODEL]) == 130
    assert sorted(runs.rglob("*")) == before


def test_ctrl_c_keeps_the_runs_that_are_tuned(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openretina_cli.finding import tuning_files

    draw, calls = tuning_files.draw_tuning, []

    def draw_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(tuning_files, "draw_tuning", draw_once)
    assert main(["tune", str(runs), *MODEL, "points=3"]) == 130
    there = {path.relative_to(runs).as_posix() for path in runs.rglob("*tun*")}
    assert there == {f"neuron=0/{name}" for name in TUNE}


@pytest.mark.parametrize("verb", ["respond", "tune"])
def test_help_names_every_setting_and_file(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    names = {
        "respond": ("session=", "normalise=", "against=", "natural=", "movie=", *RESPOND),
        "tune": ("points=", "reoptimise=", "overwrite=", *TUNE),
    }[verb]
    for name in (*names, "model=", "device=", "out="):
        assert name in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_found_on_a_run_goes_with_it(runs: Path) -> None:
    folder = runs / "neuron=0"
    (folder / "notes.txt").write_text("mine")
    assert main(["tune", str(folder), *MODEL, "points=3"]) == 0
    assert {*TUNE} <= {path.name for path in folder.iterdir()}
    assert optimize(folder, "neuron=2", "overwrite=true") == 0
    assert {path.name for path in folder.iterdir()}.isdisjoint(TUNE)
    assert (folder / "notes.txt").is_file()
