"""Folders of runs are untrusted data: whatever lies in them, every verb ends in one line, soon, and runs nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_folders import KINDS
from real_parts import mutants

from openretina_cli.errors import ArtifactError
from openretina_cli.main import main
from openretina_cli.store.files import MAX_STRING, read_bytes, read_json, read_yaml
from openretina_cli.store.finder import find_finished, find_runs
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.result import read_result

MUTANTS, WORKERS = mutants(520), 2


def test_every_verb_survives_hostile_folders(tmp_path: Path) -> None:
    starts = range(0, MUTANTS, MUTANTS // WORKERS)
    command = [sys.executable, str(Path(__file__).with_name("hostile_folders.py"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def ended(start: int) -> subprocess.CompletedProcess[str]:
        words = [*command, str(tmp_path / str(start)), str(start), str(min(start + starts.step, MUTANTS))]
        return subprocess.run(words, text=True, env=environment, stdout=subprocess.PIPE, check=False)

    with ThreadPoolExecutor(WORKERS) as pool:
        processes = list(pool.map(ended, starts))
    told = [[json.loads(line) for line in process.stdout.splitlines()] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(starts), [lines[-1] for lines in told]
    assert [line for lines in told for line in lines if "fault" in line] == []
    assert sum(lines[-1]["tried"] for lines in told) == MUTANTS
    commands = Counter(line["trying"][2] for lines in told for line in lines if "trying" in line)
    assert set(commands) == {"report", "validate", "render", "optimize"}
    assert {line["trying"][1] for lines in told for line in lines if "trying" in line} >= set(KINDS)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, which a test may spoil."""
    import shutil

    return Path(shutil.copytree(finished / "neuron=4", tmp_path / "run"))


def change(run: Path, *path: str, value: object) -> None:
    """Set a value of a run's result."""
    tree = json.loads((run / "result.json").read_text())
    branch = tree
    for key in path[:-1]:
        branch = branch[key]
    branch[path[-1]] = value
    (run / "result.json").write_text(json.dumps(tree))


CLASSES = [
    ("objective",), ("reducer",), ("stopper",), ("constraint", "mine"), ("penalty", "mine"), ("optimizer",),
    ("objective", "terms"),
]  # fmt: skip


@pytest.mark.parametrize("place", CLASSES, ids="/".join)
def test_validate_imports_no_class_that_a_folder_names(
    place: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "strange.py").write_text("open('executed', 'w')\nclass Mine: pass\n")
    (run / ".hydra" / "config.yaml").write_text("objective: {_target_: strange.Mine}\n")
    settings = json.loads((run / "result.json").read_text())["settings"]
    settings.setdefault(place[0], {})
    change(run, "settings", value=settings)
    change(run, "settings", *place, value={"_target_": "strange.Mine"})
    assert main(["validate", "run"]) == 2
    error = capsys.readouterr().err
    assert "strange.Mine" in error
    assert len(error.splitlines()) == 1
    assert not (run.parent / "executed").exists()
    assert "strange" not in sys.modules


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${neuron}"])
def test_nothing_in_a_folder_is_resolved(text: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, "settings", "session", value=text)
    assert main(["validate", str(run)]) == 2
    captured = capsys.readouterr()
    assert f"session='{text}'" in captured.err
    assert os.environ["HOME"] not in captured.err.replace(str(run), "")


@pytest.mark.parametrize("key", ["warnings", "objective", "stimulus", "wall_time_s", "failure", "iterations"])
def test_a_result_without_a_key_is_no_finished_run(key: str, run: Path) -> None:
    assert RunFolder(run).result is not None
    tree = json.loads((run / "result.json").read_text())
    del tree[key]
    (run / "result.json").write_text(json.dumps(tree))
    assert RunFolder(run).result is None
    assert key in " ".join(read_result(run).flaws)


def test_numbers_that_are_not_finite_are_read_back_as_such(run: Path) -> None:
    change(run, "objective", "final", value=None)  # as they are written
    result = RunFolder(run).result
    assert result is not None
    assert result["objective"]["final"] != result["objective"]["final"]


def test_only_regular_files_of_the_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "outside").write_text("{}")
    (folder / "file").write_text("{}")
    (folder / "inside").symlink_to("file")
    assert read_bytes(folder / "inside") == b"{}"
    os.mkfifo(folder / "fifo")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "out").symlink_to("../outside")
    (folder / "loop").symlink_to("loop")
    for name, reason in {"fifo": "regular", "device": "link", "out": "link", "loop": "regular"}.items():
        with pytest.raises(ArtifactError, match=reason):
            read_json(folder / name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested"),
        ("[" * 40 + "]" * 40, "nested"),
        (json.dumps("x" * (MAX_STRING + 1)), "characters"),
        (json.dumps([0] * 200_000), "too many values"),
        ("{", "no JSON"),
        ("1" * 5_000, "."),
    ],
)
def test_json_is_bounded(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ArtifactError, match=reason):
        read_json(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: " + "[" * 100 + "]" * 100, "nested"),
        ("a: &a [1]\nb: *a", "alias"),
        ("a: !!python/object/apply:os.system [true]", "tag"),
        ("a: " + "1:" * 300_000 + "1", "characters"),
        ("a: [", "no YAML"),
    ],
)
def test_yaml_is_bounded_and_plain(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ArtifactError, match=reason):
        read_yaml(tmp_path / "config.yaml", tmp_path)
    (tmp_path / "config.yaml").write_text("a: ${oc.env:HOME}")
    assert read_yaml(tmp_path / "config.yaml", tmp_path) == {"a": "${oc.env:HOME}"}


def test_runs_are_found_by_one_rule(tmp_path: Path) -> None:
    for name in ("b/run", "a/run", ".staged/run", "a/run/nested"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "result.json").touch()
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "failure.json").touch()
    (tmp_path / "again").symlink_to("b")
    found = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    assert find_finished([tmp_path, tmp_path / "b"]) == found
    assert find_runs(tmp_path) == [*found, tmp_path / "failed"]
