"""The package openretina beside this one, as far as none must be installed; tests/test_beside.py has the real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from openretina_cli import neighbour
from openretina_cli.main import main

MAIN = """
import argparse, sys
def main():
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(dest="command")
    subparsers.add_parser("train", help="Train a model").add_argument("--epochs", type=int)
    subparsers.add_parser(
        'prune', help='Cut a model')
    subparsers.add_parser("visualize", help="Visualize a model")
    print(sys.argv, parser.parse_args())
    return 3
"""
METADATA = "Metadata-Version: 2.1\nName: openretina\nVersion: 9.9\n"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package that looks like openretina; importing it says so."""
    for name in ("openretina", "openretina/cli"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import sys; sys.stderr.write('imported ')\n")
    (tmp_path / "openretina" / "cli" / "openretina_main.py").write_text(MAIN)
    (tmp_path / "openretina-9.9.dist-info").mkdir()
    (tmp_path / "openretina-9.9.dist-info" / "METADATA").write_text(METADATA)
    points = "[console_scripts]\nopenretina = openretina.cli.openretina_main:main\n"
    (tmp_path / "openretina-9.9.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_verbs_are_read_from_the_source_of_any_version(beside: Path) -> None:
    assert neighbour.verbs() == {"train": "Train a model", "prune": "Cut a model"}
    assert "openretina" not in sys.modules


def test_a_version_that_declares_its_verbs_otherwise_has_those_known(beside: Path) -> None:
    (beside / "openretina" / "cli" / "openretina_main.py").write_text("")
    assert set(neighbour.verbs()) == {"train", "eval", "create-data"}


def test_help_lists_the_verbs_of_both(beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text, error = capsys.readouterr()
    assert "\n  openretina prune         Cut a model\n" in text
    assert text.index("openretina optimize") < text.index("Of the package openretina") < text.index("openretina train")
    assert error == ""


def test_help_without_the_package_names_none_of_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "train" not in capsys.readouterr().out


def handed(beside: Path, *words: str) -> tuple[int, str]:
    code = f"import sys; sys.path.insert(0, {str(beside)!r}); sys.argv = ['/bin/openretina-cli', *{words!r}]\n"
    code += "from openretina_cli.main import command\ncommand()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_verb_is_handed_over_with_its_words_and_its_exit_code(beside: Path) -> None:
    said = "['/bin/openretina', 'train', '--epochs', '7'] Namespace(command='train', epochs=7)\n"
    assert handed(beside, "train", "--epochs", "7") == (3, said)
    assert handed(beside, "train", "--epochs", "many")[0] == 2


def test_a_verb_of_this_package_is_never_handed_over(beside: Path) -> None:
    with (beside / "openretina" / "cli" / "openretina_main.py").open("a") as file:
        file.write('# subparsers.add_parser("models", help="Theirs")\n')
    code, text = handed(beside, "models", "--help")
    assert (code, text.startswith("usage: openretina models")) == (0, True)


MISTAKES = {
    ("train",): "train belongs to the package openretina, which is not installed. Try: pip install openretina, then",
    ("visualize",): "Try: openretina optimize -m model=core_readout model.path=FILE.ckpt session=all neuron=all",
    ("visualize", "--is-hoefling-ensemble-model", "--model-id", "2", "--device=cpu"): (
        "Try: openretina optimize -m model=hoefling_2024 device=cpu 'model.members=[2]' session=all neuron=all"
    ),
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_verb_that_is_not_here_says_what_to_type(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert MISTAKES[words] in error
    assert error.count("\n") == 1


def test_a_verb_of_the_package_is_not_run_inside_python(beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "train belongs to the package openretina. Try: openretina train in a shell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "lost"),
    [
        ("from openretina.cli.openretina_main import main", True),
        ("from openretina_cli.main import command", False),
        (None, False),
    ],
)
def test_models_says_who_has_the_name(
    script: str | None, lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    if script is not None:
        (tmp_path / "openretina").write_text(script)
    assert main(["models"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("pip install --force-reinstall --no-deps openretina-cli" in text) == lost


def test_sources_that_are_not_installed_are_told_in_one_line(beside: Path) -> None:
    (beside / "openretina-9.9.dist-info" / "entry_points.txt").unlink()
    error = str(neighbour.hand_over(["train"]))
    assert "which is not installed. Try: pip install openretina" in error
    assert "\n" not in error
