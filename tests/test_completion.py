"""Tab completion answers for every verb, whatever the line holds so far, and never complains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openretina_cli.completion import candidates, words_of
from openretina_cli.main import main

Complete = Callable[..., list[str]]
VERBS = ["export", "optimize", "models", "probe", "render", "report", "respond", "tune", "validate"]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Complete:
    """The candidates for a line, as the shell's script gets them, in a folder with runs and options."""
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/first", "outputs/second", "outputs/.hidden", "my runs", "conf/objective"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "outputs" / "start.pt").touch()
    (tmp_path / "conf" / "objective" / "mine.yaml").write_text(
        "# Mine\n_target_: openretina_cli.objective.mei.MostExcitingInput\nneuron: 3\ngroup: null\n"
    )

    def run(line: str, cursor: int | None = None) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line) if cursor is None else cursor))
        assert main(["-sc", "query=bash"]) == 0
        found = capsys.readouterr()
        assert found.err == ""
        return found.out.split()

    return run


def test_every_verb_is_found(complete: Complete) -> None:
    assert complete("openretina ") == sorted(VERBS)
    assert complete("openretina re") == ["render", "report", "respond"]


@pytest.mark.parametrize("verb", ["render", "report", "respond", "tune", "validate"])
def test_verbs_of_folders_find_folders(verb: str, complete: Complete) -> None:
    assert "outputs/" in complete(f"openretina {verb} out")
    assert complete(f"openretina {verb} outputs/") == ["outputs/first/", "outputs/second/"]
    assert complete(f"openretina {verb} outputs/first/ outputs/s") == ["outputs/second/"]
    assert complete(f"openretina {verb} 'outputs/f") == ["outputs/first/"]
    assert complete(f"openretina {verb} outputs/.h") == ["outputs/.hidden/"]


def test_render_finds_its_settings(complete: Complete) -> None:
    assert complete("openretina render outputs/ vid") == ["video=", "video_scale="]


def test_models_finds_models(complete: Complete) -> None:
    published = ["hoefling_2024", *(f"hoefling_2024_{name}" for name in ("base_low_res", "high_res", "low_res"))]
    assert complete("openretina models h") == published
    assert "fetch" in complete("openretina models ")
    assert complete("openretina models fetch h") == published
    assert complete("openretina models ensemble_directory model.pa") == ["model.path="]


def test_validate_finds_settings(complete: Complete) -> None:
    assert complete("openretina validate --h") == ["--held-out", "--help"]
    assert complete("openretina validate --held-out objective=me") == ["objective=mei"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("objective=me", ["objective=mei"]),
        ("stopper=", ["stopper=early", "stopper=fixed"]),
        ("stopper=early stopper.pa", ["stopper.patience="]),
        ("seed=", ["seed=0"]),
        ("+experiment=h", ["+experiment=hoefling_2024"]),
        ("-m hydra/launcher=sl", ["hydra/launcher=slurm"]),
        ("stimulus.file=outputs/st", ["stimulus.file=outputs/start.pt"]),
        ("out=outputs/f", ["out=outputs/first/"]),
        ("--config", ["--config-dir"]),
        ("--config-dir co", ["conf/"]),
        ("--config-dir=co", ["--config-dir=conf/"]),
        ("--config-dir conf objective=mi", ["objective=mine"]),
        ("--config-dir=conf objective=mi", ["objective=mine"]),
        ("-cd conf objective=mi", ["objective=mine"]),
        ("'objective=me", ["objective=mei"]),
        ('"objective=me', ["objective=mei"]),
        ("'neuron=[1,2]' objective=me", ["objective=mei"]),
        ("'model.note=two words' objective=me", ["objective=mei"]),
        ("neuron=[1,2 objective=me", ["objective=mei"]),
        ("nonsense objective=me", ["objective=mei"]),
        ("objective=nonsense stopper=e", ["stopper=early"]),
    ],
)
def test_optimize_finds_flags_options_keys_and_paths(line: str, expected: list[str], complete: Complete) -> None:
    assert complete(f"openretina optimize {line}") == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "openretina",
        "openretina nonsense x",
        "openretina optimize --nonsense x",
        "openretina optimize --config-dir nonsense objective=",
        "openretina models nonsense x",
        "openretina report nonsense/",
        "openretina optimize out=${nonsense",
        "openretina optimize \\",
        "openretina optimize '\"",
        "openretina optimize \x1b[31m \udcff",
    ],
)
def test_no_line_is_an_error(line: str, complete: Complete) -> None:
    complete(line)


def test_a_line_is_completed_where_the_cursor_is(complete: Complete) -> None:
    assert complete("openretina rep outputs", len("openretina rep")) == ["report"]


@given(st.text(st.characters(), max_size=40))
def test_any_line_is_split_into_words(line: str) -> None:
    assert all(isinstance(word, str) for word in words_of(line))


@given(st.text(st.characters(), max_size=20))
def test_verbs_complete_without_errors(word: str) -> None:
    found = candidates(f"openretina {word}", VERBS, lambda verb: lambda before, word: ())
    assert set(found) <= set(VERBS) or len(words_of(f"openretina {word}")) != 2
