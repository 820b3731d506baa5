"""Outputs are chosen as a list, checked before any work, and are no part of what a run is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import optimize, result

from openretina_cli.config.compose import compose_settings
from openretina_cli.config.settings import Settings
from openretina_cli.errors import SettingError
from openretina_cli.output.base import Numbers
from openretina_cli.output.chosen import build_outputs, chosen_outputs, files_of, pictures_of, stated_outputs
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.names import is_plain

CLASSES = """
from dataclasses import dataclass
from openretina_cli.output.base import Numbers, Output, Picture

class Alone(Output):
    names = ("alone.txt",)

class Outside(Numbers):
    names = ("../outside.txt",)

class Result(Numbers):
    names = ("result.json",)

class Film(Picture):
    names = ("stimulus.mp4",)

class Broken(Numbers):
    names = ("broken.txt",)
    def content(self, name, view, steps):
        raise ZeroDivisionError("no frames")

class Faint(Picture):
    names = ("faint.txt",)
    def draw(self, name, view, kept):
        raise ZeroDivisionError("no frames")

@dataclass(frozen=True)
class Norm(Numbers):
    digits: int
    names = ("norm.txt",)
    def content(self, name, view, steps):
        return f"{steps[-1].stimulus_norm:.{self.digits}f}".encode()
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with classes of outputs, and a YAML for each."""
    (tmp_path / "my_outputs.py").write_text(CLASSES)
    (tmp_path / "output").mkdir()
    for name in ("Alone", "Outside", "Result", "Film", "Broken", "Faint", "Norm"):
        digits = "  digits: 2\n" if name == "Norm" else ""
        text = f"# {name}.\n{name.lower()}:\n  _target_: my_outputs.{name}\n{digits}"
        (tmp_path / "output" / f"{name.lower()}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def composed(choice: str, folder: Path) -> Settings:
    return compose_settings(["--config-dir", str(folder), f"output={choice}"])


@pytest.mark.parametrize("choice", ["full", "[full]", "[minimal,figure,video]", "[video,tables,tensor,figure]"])
def test_full_and_minimal_are_names_for_outputs_in_a_list(choice: str) -> None:
    settings = compose_settings([f"output={choice}"])
    assert settings.output.keys() == compose_settings([]).output.keys() == {"tensor", "tables", "video", "figure"}
    assert pictures_of(settings).keys() == {"stimulus.mp4", "composition.png"}
    assert pictures_of(compose_settings(["output=minimal"])) == {}
    assert files_of(chosen_outputs(settings), Numbers).keys() == {"history.csv", "response.csv", "stimulus.pt"}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("[minimal,alone]", "my_outputs.Alone inherits from Output alone; expected Numbers or Picture"),
        ("[outside]", r"output\.outside writes \.\./outside\.txt; expected a plain name"),
        ("[result]", r"output\.result writes result\.json"),
        ("[full,film]", r"output=video and film both write stimulus\.mp4"),
        ("[film,tensor]", r"made from tables, which is not chosen\. Try: output=\[tables,film,tensor\]"),
    ],
)
def test_outputs_that_cannot_be_written_are_one_line(choice: str, message: str, mine: Path) -> None:
    with pytest.raises(SettingError, match=message):
        chosen_outputs(composed(choice, mine))


def test_outputs_are_built_once_for_the_runs_of_a_sweep(mine: Path) -> None:
    one, same, other = (
        compose_settings([f"neuron={n}", f"output.figure.dpi={dpi}"]) for n, dpi in [(1, 30), (2, 30), (2, 40)]
    )
    assert build_outputs(one) is build_outputs(same)
    assert build_outputs(one) is not build_outputs(other)
    assert {picture.dpi for picture in pictures_of(other).values() if picture.chosen == "figure"} == {40}


def test_numbers_that_fail_fail_the_run_and_pictures_that_fail_are_a_warning(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--config-dir", str(mine))
    assert optimize(mine / "run", *own, "output=[minimal,broken]") == 1
    assert "broken.txt could not be made: ZeroDivisionError: no frames" in capsys.readouterr().err
    assert not (mine / "run").exists()
    assert optimize(mine / "run", *own, "output=[minimal,norm,faint]") == 0
    norm = result(mine / "run")["stimulus"]["norm"]
    assert (mine / "run" / "norm.txt").read_text() == f"{norm:.2f}"
    assert result(mine / "run")["warnings"] == ["faint.txt is missing: ZeroDivisionError: no frames"]
    assert result(mine / "run")["files"] == ["stimulus.pt", "history.csv", "response.csv", "norm.txt", "faint.txt"]


def test_a_finished_run_has_its_pictures_drawn_but_not_its_numbers_written(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, run = ("--config-dir", str(mine)), mine / "run"
    assert optimize(run, *own, "output=[tensor]") == 0
    numbers = (run / "stimulus.pt").stat()
    assert optimize(run, *own, "output=[]") == 0
    assert optimize(run, *own, "output=minimal") == 2
    assert "history.csv was not written" in capsys.readouterr().err
    assert (run / "stimulus.pt").stat() == numbers
    sweep = mine / "sweep"
    last = []
    for choice in ("[tensor]", "minimal", "[minimal,norm]", "minimal"):
        assert optimize(sweep, *own, "-m", "neuron=1,2", f"output={choice}") == 0
        last.append([json.loads(path.read_text())["files"][-1] for path in sweep.glob("*/result.json")])
    assert last == [["stimulus.pt"] * 2, ["response.csv"] * 2, ["norm.txt"] * 2, ["norm.txt"] * 2]


def test_outputs_are_no_part_of_what_a_run_is(mine: Path) -> None:
    run = mine / "run"
    assert optimize(run, "--config-dir", str(mine), "output=[minimal,norm]") == 0
    assert result(run)["identity"]["sources"].keys() == {"tiny_runs.py"}  # the model's
    settings = [composed(choice, mine) for choice in ("full", "[]", "[minimal,norm]")]
    assert len({one.key for one in settings}) == 1


def test_a_run_that_is_made_again_leaves_no_file_of_the_earlier_one(mine: Path) -> None:
    run = mine / "run"
    assert optimize(run, "--config-dir", str(mine), "output=[full,norm]", "output.figure.dpi=30") == 0
    (mine / "outside.txt").write_text("stays")
    (run / "notes.txt").write_text("stays")
    (run / "sub").mkdir()
    stated = {**result(run), "files": [*result(run)["files"], "../outside.txt", "sub", ".hydra", ""]}
    (run / "result.json").write_text(json.dumps(stated))
    assert optimize(run, "output=[tensor]", "overwrite=true") == 0
    left = {path.name for path in run.iterdir()}
    assert left == {"stimulus.pt", "result.json", "optimize.log", ".hydra", "notes.txt", "sub"}
    assert (mine / "outside.txt").is_file()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hydra", "a/b", "a\\b", "/etc/passwd", "-rf", "x" * 101, "a\n", "a b"]
)
def test_names_that_leave_the_folder_or_hide_in_it_are_not_plain(name: str) -> None:
    assert not is_plain(name)
    assert is_plain("composition.png")


def test_settings_of_version_1_are_read_as_they_are_spelt_now() -> None:
    before = {"output": {"video": True, "video_scale": "joint", "figure": ["png"], "dpi": 50}}
    assert stated_outputs(before) == {"video": {"scale": "joint"}, "figure": {"dpi": 50}}
    assert stated_outputs({"output": 3}) == stated_outputs(None) == {}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("output.dpi=30", "output.figure.dpi=30"),
        ("output.figure=[pdf,svg]", "output.figure.formats=[pdf,svg]"),
        ("output.video_scale=joint", "output.video.scale=joint"),
    ],
)
def test_overrides_of_version_1_are_still_taken(before: str, now: str) -> None:
    assert compose_settings([before]).output == compose_settings([now]).output != compose_settings([]).output


def test_yaml_of_version_1_is_told_what_replaced_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "experiment").mkdir()
    messages = {"dpi: 300": "Try: output.figure.dpi=300", "figure: [pdf]": "output.figure.formats",
                "video: false": "Try: output=[tensor,tables,figure]"}  # fmt: skip
    for text, message in messages.items():
        (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\noutput:\n  {text}\n")
        words = ("--config-dir", str(tmp_path), "experiment=mine", "output=full")
        assert optimize(tmp_path / "run", *words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_result_of_an_earlier_run_with_no_list_of_files_is_current(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert optimize(run) == 0
    stated = result(run)
    del stated["files"]
    (run / "result.json").write_text(json.dumps(stated))
    assert optimize(run, "output=full", "output.figure.dpi=30") == 0
    assert RunFolder(run).result is not None
    assert (run / "composition.png").is_file()
