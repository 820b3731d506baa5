"""Help, tables, progress and errors come out in any encoding: what it cannot show is replaced."""

from __future__ import annotations

import io
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import DATA, Command
from test_text import HOSTILE, controls

from openretina_cli import verbs
from openretina_cli.main import main
from openretina_cli.terminal.console import SafeConsole
from openretina_cli.terminal.run import RunConsole

ENCODINGS = ["cp932", "ascii", "latin-1", "cp1252", "koi8-r", "utf-8"]
FOREIGN = "Höfling 網膜 \ud800 …━"


class Terminal:
    """The standard streams of a terminal of some encoding, which raise for what it cannot show."""

    def __init__(self, encoding: str) -> None:
        self.out, self.err = (io.TextIOWrapper(io.BytesIO(), encoding, "strict", write_through=True) for _ in range(2))

    @staticmethod
    def text(stream: io.TextIOWrapper) -> str:
        """What was written, as the terminal reads it."""
        buffer = stream.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(stream.encoding)

    @contextmanager
    def used(self) -> Iterator[None]:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.out, self.err
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of the command."""
        with self.used():
            code = main(words)
        return code, self.text(self.out), self.text(self.err)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("words", ["--help", "optimize --help", "models", "render --help", "optimize --cfg job"])
def test_help_and_tables_come_out(words: str, encoding: str) -> None:
    code, out, err = Terminal(encoding).run(*words.split())
    assert (code, err) == (0, "")
    assert len(out.splitlines()) > 8


@pytest.mark.parametrize("verb", [module.name for module in pkgutil.iter_modules(verbs.__path__)])
def test_help_fits_a_terminal_of_80_columns(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = Terminal("utf-8").run(verb, "--help")
    assert not [line for line in out.splitlines() if len(line) > 80]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_can_be_shown_stays(encoding: str) -> None:
    out = Terminal(encoding).run("models")[1]
    expected = "Höfling" if "ö".encode(encoding, "replace") != b"?" else "H?fling"
    assert expected in out


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words", [[FOREIGN], ["models", FOREIGN], ["optimize", f"seed={FOREIGN}"], ["report", FOREIGN]]
)
def test_an_error_is_one_line(words: list[str], encoding: str) -> None:
    code, out, err = Terminal(encoding).run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("openretina: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("encoding", ["cp932", "ascii"])
def test_the_streams_are_afterwards_as_they_were(encoding: str) -> None:
    terminal = Terminal(encoding)
    terminal.run("--help")
    assert (terminal.out.errors, terminal.err.errors) == ("strict", "strict")


@pytest.mark.parametrize("encoding", ["cp932", "ascii", "utf-8"])
def test_a_whole_run_and_its_bar_come_out(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # has rich draw as for a terminal
    model = ["model=ensemble_directory", f"model.path={DATA / 'ensemble'}", "model.members=[0]", 'model.note="網膜 ö"']
    words = [*model, "output=minimal", "stopper.max_iterations=1", f"out={tmp_path / 'run ö'}"]
    code, out, err = Terminal(encoding).run("optimize", *words)
    assert (code, err) == (0, "")
    assert "optimizing" in out
    assert (tmp_path / "run ö" / "result.json").is_file()


@pytest.mark.parametrize("name", HOSTILE)
def test_progress_shows_no_code_of_a_file(name: str) -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, color_system=None, width=200)
    with RunConsole(console).live() as shown:
        shown.download(HOSTILE[name], 1, 2, 0, 1)
    lines = [line for line in stream.getvalue().split("\r") if "downloading" in line]
    assert lines
    assert "\x1b[31m" not in lines[-1]
    assert set(controls(lines[-1].split("downloading ")[1].split(" (1 of 1)")[0])) == set()


def test_the_real_command_in_the_c_locale(openretina: Command) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
    done = openretina("models", **plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert "H?fling" in done.stdout
