"""Paths are taken as they were typed, `~` included; where quotes are missing, the error has them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import DATA
from hypothesis import assume, given
from hypothesis import strategies as st
from omegaconf import DictConfig

from openretina_cli.config.compose import compose, read_arguments
from openretina_cli.config.overrides import read_overrides
from openretina_cli.main import main

NAMES = [
    "epoch=3-step=9.ckpt",
    "my retina",
    "a,b",
    "[a]",
    "a[1]",
    "{b}",
    "a(b)",
    "#1",
    "Höfling 網膜",
    "1e3",
    "true",
    "a'b",
    "a;b&c",
]
MODEL = ["model=ensemble_directory", "model.members=[0]", "output=minimal", "stopper.max_iterations=0"]
Attempt = Callable[..., tuple[int, str]]


@pytest.fixture
def attempt(capsys: pytest.CaptureFixture[str]) -> Attempt:
    """Exit code and error of the command."""

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(words), capsys.readouterr().err

    return run


def composed(*words: str) -> DictConfig:
    args, _ = read_arguments(words)
    read_overrides(args.overrides, sweeps=args.multirun)
    return compose(args, args.overrides)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_any_path_is_taken_as_it_was_typed(path: str) -> None:
    assume(path[0] not in "'\"~" and "," not in path and "${" not in path and "\\" not in path)
    assume(path == path.strip() and path.lower() != "null" and path != "???")
    args, _ = read_arguments([f"model.path={path}"])
    (override,) = read_overrides(args.overrides, sweeps=False)
    assert override.value() == path


@pytest.mark.parametrize("name", NAMES)
def test_a_quoted_path_is_taken_as_it_was_typed(name: str) -> None:
    assert composed("model=ensemble_directory", f'model.path="{name}"').model.path == name


@pytest.mark.parametrize("name", [name for name in NAMES if "," not in name])
def test_a_folder_of_any_name_can_be_written(name: str, attempt: Attempt, tmp_path: Path) -> None:
    home = tmp_path / "models"
    home.symlink_to(DATA)
    code, error = attempt("optimize", *MODEL, f"model.path={home / 'ensemble'}", f"out={tmp_path / name}")
    assert (code, error) == (0, "")
    assert (tmp_path / name / "result.json").is_file()


def test_commas_of_a_path_are_quoted_by_the_error(attempt: Attempt, tmp_path: Path) -> None:
    code, error = attempt("optimize", *MODEL, f"model.path={DATA / 'ensemble'}", f"out={tmp_path}/a,b")
    assert code == 2
    offered = shlex.split(error.split("Try: ")[1])[0]
    assert offered == f'out="{tmp_path}/a,b"'
    assert attempt("optimize", *MODEL, f"model.path={DATA / 'ensemble'}", offered) == (0, "")
    assert (tmp_path / "a,b" / "result.json").is_file()


def test_commas_part_the_paths_of_a_sweep() -> None:
    args, _ = read_arguments(["-m", "model.weights=epoch=3.ckpt,epoch=4.ckpt"])
    (override,) = read_overrides(args.overrides, sweeps=True)
    assert list(override.sweep_string_iterator()) == ['"epoch=3.ckpt"', '"epoch=4.ckpt"']


def test_a_path_that_the_shell_parted_is_put_together_by_the_error(attempt: Attempt) -> None:
    code, error = attempt("optimize", "model=ensemble_directory", "model.path=my", "retina")
    assert code == 2
    assert error.endswith("""Try: 'model.path="my retina"'\n""")


@pytest.mark.parametrize(
    "text", ["model.note=a=b", "session=Höfling", "model.note=who?!", "model.url=http://x?a=b&c#d"]
)
def test_text_that_hydra_cannot_read_is_quoted_by_the_error(text: str, attempt: Attempt) -> None:
    code, error = attempt("optimize", text)
    assert code == 2
    offered = shlex.split(error.split("Try: ")[1])[0]
    key, _, value = text.partition("=")
    args, _ = read_arguments([offered])
    (override,) = read_overrides(args.overrides, sweeps=False)
    assert (override.key_or_group, override.value()) == (key, value)


@pytest.mark.parametrize("text", ["neuron=[1,2", "neuron=[1,[2]", "neuron={a:1", 'model.note="a', "seed"])
def test_no_quotes_are_offered_where_a_bracket_is_open(text: str, attempt: Attempt) -> None:
    code, error = attempt("optimize", text)
    assert code == 2
    assert "Try: '" not in error


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["optimizer=adam", "optimizer.betas=[0.8,0.99]"], "'+optimizer.betas=[0.8,0.99]'"),
        (["optimizer.momentum=0.9"], "+optimizer.momentum=0.9"),
        (["objective=custom", "objective._target_=mine.Mine", "objective.other=7"], "+objective.other=7"),
    ],
)
def test_a_new_argument_of_a_users_class_is_offered_with_its_plus(
    overrides: list[str], expected: str, attempt: Attempt
) -> None:
    code, error = attempt("optimize", *overrides)
    assert code == 2
    assert f"Try: {expected}" in error


def test_a_new_argument_is_taken_with_its_plus() -> None:
    assert composed("optimizer=adam", "+optimizer.betas=[0.8,0.99]").optimizer.betas == [0.8, 0.99]


def test_a_new_setting_where_none_is_taken_is_not_offered(attempt: Attempt) -> None:
    code, error = attempt("optimize", "reducer.strat=1")
    assert code == 2
    assert "Try" not in error


# --- home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a model in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ensemble").symlink_to(DATA / "ensemble")
    return tmp_path / "home"


SETTINGS = ["out", "model.path", "stimulus.file", "hydra.run.dir", "hydra.sweep.dir"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("value", ["~/x", '"~/x"', "~/a=b"])
def test_the_home_folder_is_meant_in_every_path(setting: str, value: str, home: Path) -> None:
    config = composed("model=ensemble_directory", "model.path=x", f"{setting}={value}")
    node = config
    for part in setting.split("."):
        node = node[part]
    assert node == str(home / value.strip('"')[2:])


def test_the_home_folder_is_meant_in_a_folder_of_options(home: Path) -> None:
    options = home / "options" / "model"
    options.mkdir(parents=True)
    packaged = composed("model=torch_module").model
    assert packaged.weights is None
    (options / "mine.yaml").write_text("defaults: [torch_module]\nweights: ~/mine.pt\n")
    config = composed("--config-dir", "~/options", "model=mine", "out=~/runs/${seed}")
    assert config.model.weights == str(home / "mine.pt")
    assert config.out == str(home / "runs" / "0")
    assert config.hydra.run.dir == str(home / "runs" / "0")


def test_every_verb_finds_the_home_folder(home: Path, attempt: Attempt) -> None:
    model = [*MODEL, "model.path=~/ensemble"]
    assert attempt("optimize", *model, "out=~/run", "stimulus.file=~/start.pt")[0] == 2
    torch.save(torch.zeros(1, 2, 50, 18, 16) + 0.1, home / "start.pt")
    assert attempt("optimize", *model, "out=~/runs/a", "stimulus.file=~/start.pt") == (0, "")
    assert json.loads((home / "runs" / "a" / "result.json").read_text())["status"] == "completed"
    assert attempt("report", "~/runs") == (0, "")
    assert attempt("render", "~/runs", "video=false", "figure=[]") == (0, "")
    code, error = attempt("validate", "~/runs")  # of another model, so that it is found and refused
    assert code == 2
    assert "none of the 1 finished runs" in error
    assert attempt("models", "ensemble_directory", "model.path=~/ensemble") == (0, "")
    assert list(Path.cwd().iterdir()) == []  # no folder is called ~


def test_a_deletion_is_no_home_folder(attempt: Attempt) -> None:
    code, error = attempt("optimize", "~seed")
    assert code == 2
    assert "seed is missing" in error
