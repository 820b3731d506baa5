"""What comes out of many runs: table, stack and page say what the runs' folders say, in any browser."""

from __future__ import annotations

import base64
import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_runs import ERROR, FINISHED, NAMES, RUNS

from openretina_cli.analysis.decomposition import decompose
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.output.composition.axis_tools import WINDOW_COLOR
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.report import write_report
from openretina_cli.report.page import PARTS, SCRIPTS, STYLES
from openretina_cli.report.pictures import look_at, smaller
from openretina_cli.report.run import read_run
from openretina_cli.report.stack import write_stack
from openretina_cli.store.files import MAX_TEXT_BYTES, read_json, read_yaml
from openretina_cli.store.finder import natural_key
from openretina_cli.store.values import flatten
from openretina_cli.verbs import report


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def data_of(directory: Path) -> dict[str, Any]:
    page = (directory / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_has_every_run_in_natural_order(sweep: Path) -> None:
    rows = rows_of(sweep)
    assert [row["folder"] for row in rows] == NAMES
    assert [row["status"] for row in rows] == ["unreadable", "unreadable", *["completed"] * 3, "failed", "completed"]
    assert [row["neuron"] for row in rows] == ["2", "", "2", "3", "4", "5", "10"]
    assert rows[5]["error"] == ERROR
    assert rows[0]["error"].startswith("stimulus.pt is not a readable stimulus")
    assert rows[1]["error"] == "there is no result.json: it was not finished"


def test_the_table_says_what_the_results_say(sweep: Path) -> None:
    for row in rows_of(sweep):
        if row["status"] != "completed":
            continue
        result = result_of(sweep / row["folder"])
        for name in ("initial", "final", "best"):
            assert float(row[f"objective_{name}"]) == pytest.approx(result["objective"][name], rel=1e-5)
        assert row["objective"] == result["objective"]["text"]
        assert (row["iterations"], row["stop_reason"]) == (str(result["iterations"]), result["stop_reason"])
        assert float(row["stimulus_norm"]) == pytest.approx(result["stimulus"]["norm"], rel=1e-5)
        for channel, limits in result["stimulus"]["range"].items():
            assert [float(row[f"{channel}_{end}"]) for end in ("min", "max")] == pytest.approx(limits, rel=1e-5)


def test_the_table_describes_the_stimuli(sweep: Path) -> None:
    for row in rows_of(sweep):
        if row["status"] != "completed":
            continue
        stimulus = torch.load(sweep / row["folder"] / "stimulus.pt", weights_only=True)[0].numpy()
        for channel, values in zip(("green", "uv"), stimulus, strict=True):
            assert float(row[f"{channel}_explained_variance"]) == pytest.approx(
                decompose(values).explained_variance, rel=1e-5
            )
            assert row[f"{channel}_polarity"] in ("on", "off")
            assert 0 < float(row[f"{channel}_centre_frequency_hz"]) < 10


def test_settings_that_differ_have_a_column_and_others_have_none(sweep: Path) -> None:
    rows = {row["folder"]: row for row in rows_of(sweep)}
    assert rows["neuron=2"]["setting stimulus.norm"] in ("20", "20.0")
    assert rows["neuron=10"]["setting stimulus.norm"] in ("5", "5.0")
    assert (
        rows["neuron=3,objective=mdi"]["setting objective._target_"]
        == "openretina_cli.objective.mdi.MostDepressingInput"
    )
    assert not [name for name in rows["neuron=2"] if "constraint" in name or name in ("setting out", "setting neuron")]


def test_a_description_in_the_result_is_taken_as_it_is(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "neuron=10", tmp_path / "run")
    stated = {"explained_variance": 0.125, "centre_frequency_hz": 7.5, "polarity": "off"}
    result = {**result_of(tmp_path / "run"), "description": {"green": stated}, "cell_types": ["ON slow (27)"]}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    write_report(tmp_path)
    (row,) = rows_of(tmp_path)
    assert [row[f"green_{name}"] for name in stated] == ["0.125", "7.5", "off"]
    assert row["uv_polarity"] in ("on", "off")
    assert row["cell_type"] == "ON slow (27)"


def test_settings_come_from_hydras_record_where_the_result_has_none(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "neuron=4", tmp_path / "run")
    result = {key: value for key, value in result_of(tmp_path / "run").items() if key != "settings"}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    (tmp_path / "run" / ".hydra").mkdir(exist_ok=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text("objective: {kind: mei}\nseed: 0\nstimulus: {norm: 5}\n")
    run = read_run(tmp_path / "run", tmp_path)
    assert (run.kind, run.settings["stimulus.norm"]) == ("mei", "5")


def test_neurons_are_sorted_as_numbers() -> None:
    names = ["neuron=10", "neuron=2,seed=11", "neuron=2,seed=9", "b", "9" * 40, "neuron=2"]
    assert sorted(names, key=natural_key)[-3:] == ["neuron=2,seed=9", "neuron=2,seed=11", "neuron=10"]


# --- the stack -------------------------------------------------------------------------------------------------------


def test_the_stack_holds_every_stimulus_and_says_whose_it_is(sweep: Path) -> None:
    with np.load(sweep / "stimuli.npz", allow_pickle=False) as stack:
        assert stack["folder"].tolist() == FINISHED
        assert stack["neuron"].tolist() == [2, 3, 4, 10]
        assert stack["seed"].tolist() == [0, 0, 0, 0]
        assert stack["session"][1] == "simulated_ventral"
        assert stack["stimuli"].dtype == np.float32
        for name, stimulus, final in zip(FINISHED, stack["stimuli"], stack["objective_final"], strict=True):
            expected = torch.load(sweep / name / "stimulus.pt", weights_only=True)[0].numpy()
            np.testing.assert_array_equal(stimulus, expected)
            assert final == result_of(sweep / name)["objective"]["final"]


def test_stimuli_of_another_shape_have_arrays_of_their_own(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    small = np.ones((2, 40, 6, 5), np.float32)
    (tmp_path / "neuron=4" / "stimulus.pt").write_bytes(tensor_bytes(small))
    write_report(tmp_path)
    with np.load(tmp_path / "stimuli.npz", allow_pickle=False) as stack:
        assert stack["folder"].tolist() == ["neuron=2", "neuron=3,objective=mdi", "neuron=10"]
        assert len(stack["stimuli"]) == 3
        assert stack["folder_2x40x6x5"].tolist() == ["neuron=4"]
        np.testing.assert_array_equal(stack["stimuli_2x40x6x5"], small[None])


def test_a_sweep_of_failures_has_an_empty_stack(tmp_path: Path) -> None:
    (tmp_path / "neuron=5").mkdir()
    (tmp_path / "neuron=5" / "failure.json").write_text('{"error": "no"}')
    write_report(tmp_path)
    with np.load(tmp_path / "stimuli.npz", allow_pickle=False) as stack:
        assert stack["stimuli"].size == stack["folder"].size == 0


def test_the_stack_is_written_as_a_stream(finished: Path, tmp_path: Path) -> None:
    run, _ = look_at(read_run(finished / "neuron=10", finished))
    tracemalloc.start()
    write_stack([run] * 200, tmp_path / "stimuli.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = 4 * int(np.prod(run.shape or ()))
    assert (tmp_path / "stimuli.npz").stat().st_size > 200 * size
    assert peak < 12 * size  # one stimulus at a time, read, converted and written


def test_a_stimulus_that_changes_meanwhile_is_not_passed_off_as_another(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "neuron=10", tmp_path / "run")
    run, _ = look_at(read_run(tmp_path / "run", tmp_path))
    (tmp_path / "run" / "stimulus.pt").write_bytes(tensor_bytes(np.ones((1, 2, 3, 4), np.float32)))
    write_stack([run], tmp_path / "stimuli.npz")
    with np.load(tmp_path / "stimuli.npz", allow_pickle=False) as stack:
        assert stack["stimuli"].shape == (1, *(run.shape or ()))
        assert np.isnan(stack["stimuli"]).all()


# --- the files as a whole --------------------------------------------------------------------------------------------


def test_reports_written_at_once_are_each_whole(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path, dirs_exist_ok=True)
    with ThreadPoolExecutor(4) as pool:
        for files in pool.map(lambda _: write_report(tmp_path), range(8)):
            assert files.runs == len(NAMES)
    for name in ("summary.csv", "stimuli.npz"):
        assert (tmp_path / name).read_bytes() == (sweep / name).read_bytes()
    assert data_of(tmp_path) == {**data_of(sweep), "title": tmp_path.name}
    assert not list(tmp_path.glob(".*.partial-*"))


def test_a_disk_that_is_full_leaves_the_old_report(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sweep, tmp_path, dirs_exist_ok=True)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("openretina_cli.report.write.write_stack", refuse)
    with pytest.raises(ArtifactError, match="cannot be written: No space left"):
        write_report(tmp_path)
    assert (tmp_path / "stimuli.npz").read_bytes() == (sweep / "stimuli.npz").read_bytes()
    assert not list(tmp_path.glob(".*.partial-*"))


def test_progress_is_told(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    told: list[tuple[int, int]] = []
    write_report(tmp_path, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_runs_below_a_folder_with_settings_of_its_own_are_found(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "day" / "sweep")
    (tmp_path / "day" / "sweep" / ".hydra").mkdir()
    assert write_report(tmp_path).runs == len(RUNS)
    assert rows_of(tmp_path)[0]["folder"] == "day/sweep/neuron=2"


DEEP = "[" * 100_000 + "]" * 100_000
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "null",
            "[]",
            DEEP,
            "\0\xff",
            '{"status": 3}',
            '{"channels": "green"}',
            '{"objective": {"final": 1e999}}',
        ),
        '{"settings": {"a": ' * 400 + "1" + "}}" * 400,
        '{"channels": ["green", "green"], "seed": 1' + "0" * 400 + "}",
        '{"channels": ["\\ud800", "a"], "warnings": {"a": []}, "stimulus": {"range": {"a": [1]}}}',
    ],
)
def test_no_result_is_too_strange(content: str, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "neuron=4", tmp_path / "run")
    (tmp_path / "run" / "result.json").write_bytes(content.encode("latin-1"))
    assert write_report(tmp_path).runs == 1
    assert len(rows_of(tmp_path)) == len(data_of(tmp_path)["runs"]) == 1


def test_settings_that_branch_for_ever_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(LAUGHS)
    with pytest.raises(ArtifactError, match="alias"):
        read_yaml(tmp_path / "config.yaml", tmp_path)
    assert flatten({"a": {"b": [1, 2], "c": None}, "d": "x\ny"}) == {"a.b": "[1, 2]", "a.c": "null", "d": "x y"}


def test_files_of_absurd_size_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(ArtifactError, match="bytes"):
        read_json(tmp_path / "result.json")


def test_nothing_waits_for_torch() -> None:
    code = "import sys; import openretina_cli.verbs.report, openretina_cli.report; "
    code += "print(sorted({'torch', 'matplotlib', 'av', 'hydra'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


# --- the verb --------------------------------------------------------------------------------------------------------


def test_the_verb_writes_reports_and_names_them(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "sweep")
    report.run([str(tmp_path / "sweep"), str(tmp_path / "sweep" / "neuron=2")])
    printed = "".join(capsys.readouterr().out.split())
    for path in ("sweep/index.html", "sweep/summary.csv", "sweep/stimuli.npz", "sweep/neuron=2/index.html"):
        assert f"{tmp_path}/{path}" in printed
        assert (tmp_path / path).is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "report needs a folder"),
        (["no such folder"], "no such folder is no folder"),
        (["."], "there is no run in"),
        (["out=here"], "takes folders only, and out=here is none"),
        (["--all"], "takes folders only, and --all is none"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=re.escape(message)) as raised:
        report.run(words)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SettingError, match="cannot be written"):
        report.run([str(sweep)])


# --- what is embedded in the page ------------------------------------------------------------------------------------


def test_the_page_draws_the_components_of_the_stimulus(sweep: Path) -> None:
    run = next(run for run in data_of(sweep)["runs"] if run["name"] == "neuron=10")
    stimulus = torch.load(sweep / "neuron=10" / "stimulus.pt", weights_only=True)[0].numpy()
    parts = [decompose(channel) for channel in stimulus]
    spatial = np.frombuffer(base64.b64decode(run["spatial"]), np.uint8).reshape(2, 18, 16) / 127.0 - 1.0
    np.testing.assert_allclose(spatial, [part.spatial for part in parts], atol=0.5 / 127 + 1e-12)
    temporal = np.frombuffer(base64.b64decode(run["temporal"]), "<i2").reshape(2, 50) / 32767
    for course, scale, part in zip(temporal, run["scales"], parts, strict=True):
        np.testing.assert_allclose(
            course * scale, part.temporal, atol=2e-5 * scale
        )  # half a 16-bit step, and six digits
    values = np.loadtxt(sweep / "neuron=10" / "response.csv", delimiter=",", skiprows=1)[:, -1]
    low, high = run["limits"]
    found = low + (np.frombuffer(base64.b64decode(run["response"]), "<i2") / 32767 + 1) / 2 * (high - low)
    np.testing.assert_allclose(found, values, atol=1e-4 * (high - low))
    assert len(json.dumps(run, separators=(",", ":"))) < 2000  # as it stands in the page


def test_large_pictures_are_averaged_in_blocks() -> None:
    picture = np.arange(100.0 * 130).reshape(100, 130)
    small = smaller(picture, 3)
    assert small.shape == (34, 44)
    assert small[0, 0] == picture[:3, :3].mean()


def test_the_page_uses_the_colours_of_the_figure() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    style, draw = PARTS.joinpath("style.css").read_text("utf-8"), PARTS.joinpath("draw.js").read_text("utf-8")
    assert f"--window: {WINDOW_COLOR}" in style
    stops = re.findall(r'"([0-9a-f]{6})"', draw)
    expected = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, 11))
    found = np.array([[int(stop[i : i + 2], 16) for i in (0, 2, 4)] for stop in stops]) / 255
    np.testing.assert_allclose(found, expected[:, :3], atol=0.02)  # the map has 256 steps, which miss the stops


def test_every_part_of_the_page_is_in_it() -> None:
    """A script or style that is not named would be missing without a word."""
    files = {path.name for path in PARTS.iterdir()}
    assert files == {*SCRIPTS, *STYLES, "page.html"}


def test_the_page_asks_nothing_of_the_network(sweep: Path) -> None:
    page = (sweep / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:https?:)?//[a-z]+\.", re.sub(r'id="data">.*?</script>', "", page, flags=re.DOTALL))
