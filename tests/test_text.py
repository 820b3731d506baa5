"""Text of any origin comes out safe: for a terminal, an error line, a table, a figure and a folder name."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from openretina_cli.errors import RunError, SettingError
from openretina_cli.main import main
from openretina_cli.output.composition.composer import Composer
from openretina_cli.output.tables import responses
from openretina_cli.output.view import RunView
from openretina_cli.report.run import Run, Setup
from openretina_cli.report.summary import summary_csv
from openretina_cli.store.json_file import json_bytes
from openretina_cli.terminal.console import SafeConsole, print_error
from openretina_cli.text import (
    LONGEST_ERROR,
    LONGEST_FOLDER,
    LONGEST_TEXT,
    csv_cell,
    csv_text,
    fitted,
    folder_name,
    one_line,
    printable,
)

ANY = st.text(st.characters(), max_size=200)  # lone surrogates, too
"""Any string that Python can hold."""
LETTERS = "\x1b[31m]8;;\x07\x9b\x7f\0\r\n\t\u202e\u2066\u2028\ud800$^_{}=+-@'\"/\\:*a1 é日"
NASTY = st.text(st.sampled_from(LETTERS), max_size=40)
FOREIGN = ANY | NASTY

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;mine\x07",
    "link": "\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\",
    "C1": "a\x9b31mb\x9d0;t\x9c",
    "delete": "a\x7f\x7f\x08b",
    "nul": "a\0b",
    "lines": "a\nopenretina: error: forged\rb\u2028c\x85d",
    "bidirectional": "a\u202egpj.exe\u2066\u200f",
    "surrogate": "a\ud800b\udc9b",
    "tags": "a\U000e0041\ufeff\u200bb",
}
PLAIN = ["3_ventral1_20201021", "ON transient alpha (24)", "a[/b]", "Höfling", "網膜", "شبكية", "a\u200cb", "$x$", "-5"]


def controls(text: str) -> list[str]:
    """Characters that move, recolour or reorder: the categories of Unicode that hold them."""
    joiners = "\u200c\u200d"  # that Persian and emoji are written with
    kinds = {"Cc", "Cs", "Zl", "Zp"}
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return [
        c
        for c in text
        if c not in joiners and (unicodedata.category(c) in kinds or unicodedata.bidirectional(c) in bidirectional)
    ]


@given(FOREIGN)
def test_one_line_holds_no_control_character_and_comes_out_of_itself_unchanged(text: str) -> None:
    line = one_line(text)
    assert controls(line) == []
    assert len(line) <= LONGEST_TEXT
    assert one_line(line) == line
    line.encode()


@given(FOREIGN)
def test_printable_text_holds_no_control_character_but_newlines(text: str) -> None:
    assert set(controls(printable(text))) <= {"\n"}
    assert printable(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("text", PLAIN)
def test_plain_names_stay_as_they_are(text: str) -> None:
    assert one_line(text) == printable(text) == text
    assert csv_cell(text) == text


@given(st.text(st.characters(), min_size=1, max_size=60), st.integers(1, 10**6))
def test_a_text_of_any_length_is_cut_in_its_middle(text: str, times: int) -> None:
    long = f"begin{text * min(times, 10**5)}end"
    line = one_line(long, 40)
    assert len(line) <= 40
    assert line.startswith("begin")
    assert line.endswith("end")


@given(st.lists(st.integers(0, 400), min_size=1, max_size=4), st.integers(60, 300))
def test_texts_share_a_line_and_short_ones_stay_whole(lengths: list[int], longest: int) -> None:
    fit = fitted(["x" * length for length in lengths], longest)
    assert sum(map(len, fit)) <= longest
    assert all(len(new) == old for new, old in zip(fit, lengths, strict=True) if old <= longest // len(lengths))


@given(FOREIGN, FOREIGN, FOREIGN)
def test_an_error_is_one_short_safe_line(problem: str, expected: str, repair: str) -> None:
    line = str(SettingError(problem * 50, expected=expected * 50, repair=repair))
    assert len(line) <= LONGEST_ERROR
    assert controls(line) == []


def test_a_long_error_keeps_its_repair() -> None:
    line = str(RunError("x" * 10**6, expected=", ".join(map(str, range(10**4))), repair="neuron=3"))
    assert len(line) <= LONGEST_ERROR
    assert line.endswith(". Try: neuron=3")
    assert "; expected 0, 1, 2" in line


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_error_that_reaches_the_terminal_is_safe(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_error(text)
    error = capsys.readouterr().err
    assert error.startswith("openretina: error: ")
    assert set(controls(error)) == {"\n"}
    assert error.count("\n") == 1


@given(FOREIGN)
def test_what_a_console_prints_has_no_code_and_no_markup(text: str) -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, width=10_000, color_system=None)
    table = Table(box=None)
    table.add_column("name", overflow="fold")
    table.add_row(text)
    console.print(text, table)
    assert set(controls(stream.getvalue())) <= {"\n"}


@pytest.mark.parametrize("text", ["a[/b]", "[bold]a[/bold]", "[link=http://x]a[/link]", ":smile:", "[/]"])
def test_what_looks_like_markup_is_shown_as_it_is(text: str) -> None:
    stream = io.StringIO()
    table = Table(box=None)
    table.add_column("name")
    table.add_row(text)
    SafeConsole(file=stream, width=100, color_system=None).print(text, table)
    assert stream.getvalue().count(text) == 2


@given(FOREIGN)
def test_no_cell_of_a_table_is_a_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_text([["name", "number"], [text, -0.5]]))))
    assert rows[0] == ["name", "number"]
    cell, number = rows[1]
    assert number == "-0.5"
    assert controls(cell) == []
    assert csv_cell(cell) == cell
    if cell.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20"):
        float(cell)  # the only such cells are numbers


@pytest.mark.parametrize("number", [-5, -0.5, 1e-30, "-5", "+3", "-1.5e-07", "-.5"])
def test_numbers_stay_numbers_in_a_table(number: float | str) -> None:
    assert csv_text([[number]]) == f"{number}\n"


FORMULAS = ['=HYPERLINK("http://x")', "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_every_file_of_numbers_holds_formulas_as_text(text: str, tmp_path: Path) -> None:
    run = Run(tmp_path, text, "./", "completed", session=text, setup=Setup(channels=(text,)), warnings=(text,))
    summary = list(csv.reader(io.StringIO(summary_csv([run]))))
    (tmp_path / "response.csv").write_text(csv_text(responses(view(text))), encoding="utf-8")
    response = list(csv.reader(io.StringIO((tmp_path / "response.csv").read_text(encoding="utf-8"))))
    shown = one_line(text)
    assert summary[1][summary[0].index("session")] == f"'{shown}"
    assert [cell for row in [*summary, *response[:1]] for cell in row if cell.lstrip()[:1] in tuple("=+-@\uff1d")] == []


@given(FOREIGN)
def test_a_folder_name_is_one_that_every_system_takes(text: str) -> None:
    name = folder_name(text)
    assert name
    assert not set(name) & set('<>:"/\\|?* \0')
    assert controls(name) == []
    assert name.strip(".") == name
    assert len(name.encode()) <= LONGEST_FOLDER
    assert name.split(".")[0].upper() not in ("CON", "PRN", "AUX", "NUL", "COM1", "LPT9")
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["neuron=42", "session=3_ventral1_20201021,neuron=0", "objective.on=[0,1]", "網膜"])
def test_a_plain_folder_name_stays(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1"])
def test_a_folder_is_no_device(name: str) -> None:
    assert folder_name(name).split(".")[0].upper() != name.split(".")[0].upper()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_result_with_any_text_is_json_of_that_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(json_bytes({"session": text}))
    assert json.loads((tmp_path / "result.json").read_bytes()) == {"session": text}


def view(text: str) -> RunView:
    """A run that is called so everywhere."""
    rng = np.random.default_rng(0)
    return RunView(
        stimulus=rng.standard_normal((1, 12, 4, 4)).astype(np.float32),
        channels=(text,),
        response=rng.random((8, 1), dtype=np.float32),
        trace_names=(text,),
        lag=4,
        window=None,
        frame_rate=30.0,
        pixel_size=None,
        title=text,
    )


def test_a_dollar_in_a_name_begins_no_formula() -> None:
    text = "$a_b^{c \\$"
    assert f">{text}<" in Composer().encode(view(text), "svg").decode()


def test_a_figure_is_drawn_whatever_its_names_hold() -> None:
    assert Composer().encode(view("".join(HOSTILE.values())), "png", 40)


@pytest.mark.parametrize("text", [HOSTILE["colour"], HOSTILE["surrogate"], HOSTILE["nul"]])
def test_no_word_of_a_command_line_comes_back_as_a_code(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([text], ["models", text], ["optimize", text], ["optimize", f"seed={text}"], ["report", text]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert set(controls(error)) == {"\n"}
        assert error.count("\n") == 1


@pytest.mark.parametrize("verb", ["models", "optimize -m session=all"])
@pytest.mark.parametrize("name", ["colour", "nul", "surrogate", "formula"])
def test_a_session_of_any_name_is_refused_or_shown_swept_and_tabled_safely(
    name: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = {**HOSTILE, "formula": "=1+1", "markup": "a[/b]$"}[name]
    model = renamed(tmp_path / "model", session)
    words = [f"model.path={model}", f"out={tmp_path / 'sweep'}", "output=minimal", "stopper.max_iterations=0"]
    start = ["models", "ensemble_directory"] if verb == "models" else [*verb.split(), "model=ensemble_directory"]
    code = main([*start, *words])
    shown = capsys.readouterr()
    assert set(controls(shown.out + shown.err)) <= {"\n"}
    if not session.isprintable():  # a checkpoint with such a name is refused
        assert (code, shown.err.count("\n")) == (2, 1)
        return
    assert (code, shown.err) == (0, "")
    assert one_line(session)[:8] in shown.out or verb != "models"
    for folder in (tmp_path / "sweep").glob("session=*"):
        assert not set(folder.name) & set('<>:"/\\|?*')
        assert controls(folder.name) == []
    if verb != "models":
        rows = list(csv.reader(io.StringIO((tmp_path / "sweep" / "summary.csv").read_text(encoding="utf-8"))))
        column = [row[rows[0].index("session")] for row in rows[1:]]
        assert csv_cell(session) in column
        assert len(column) == 2


def renamed(folder: Path, session: str) -> Path:
    """One member of the ensemble, whose first session has another name."""
    folder.mkdir()
    old = "3_ventral1_20201021"
    source = DATA / "ensemble"
    shutil.copy(source / "config_00000.yaml", folder)
    weights = torch.load(source / "state_dict_00000.pth.tar", weights_only=True)
    torch.save(
        {key.replace(old, session): value for key, value in weights.items()}, folder / "state_dict_00000.pth.tar"
    )
    info = pickle.loads((source / "data_info_00000.pkl").read_bytes())  # noqa: S301  # the tests' own file
    (folder / "data_info_00000.pkl").write_bytes(
        pickle.dumps({key.replace(old, session): value for key, value in info.items()}, 4)
    )
    return folder
