"""Every snippet of README and docs does what its page says: commands are run, Python is executed, YAML is composed.

The real command runs in this process on the bundled model, page by page in a folder of its own. What takes long is cut:
two iterations, two runs of a range, numbers without pictures.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from snippets import ROOT, Snippet, snippets

from openretina_cli.config.compose import compose, read_arguments
from openretina_cli.main import main
from openretina_cli.store.package import PACKAGE, config_directory

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "generated" not in page.parts and "jupyter_execute" not in page.parts]
BLOCKS = {page.relative_to(ROOT).as_posix(): [*snippets(page)] for page in PAGES}
RUN = ("bash", "python", "yaml")
SHOWN = ("text", "")
"""What a page prints or quotes."""


def cut(words: list[str], desk: Path) -> list[str]:
    """A command that does the same with two iterations, few points, on a CPU, for the first two of a range.

    Runs without a folder get one each: by default it is named by the second, and here several end in one.
    """
    if words[0] == "tune":
        return [*(word for word in words if not word.startswith("points=")), "points=3"]
    if words[0] == "respond":
        return [re.sub(r"^natural=\d+$", "natural=3", word) for word in words]
    if words[0] == "probe":
        chosen = [] if any(word.startswith("probe=") for word in words) else ["probe=[chirp,bars]"]
        folder = [] if any(word.startswith("out=") for word in words) else [f"out=out{len([*desk.iterdir()])}"]
        return [*(word for word in words if word != "figures=false"), *chosen, *folder, "device=cpu", "figures=false"]
    if words[0] != "optimize":
        return words
    words = [re.sub(r"^(\w+=)(\d+)\.\.\d+$", lambda m: f"{m[1]}{m[2]},{int(m[2]) + 1}", word) for word in words]
    words = [re.sub(r"^neuron=(all|range\(.*\))$", "neuron=0,1", word) for word in words]
    words = [word for word in words if not word.startswith(("stopper.max_iterations=", "device="))]
    pictures = [] if any(word.startswith("output") for word in words) else ["output=minimal"]
    folder = [] if any(word.startswith("out=") for word in words) else [f"out=out{len([*desk.iterdir()])}"]
    return [*words, "stopper.max_iterations=2", "device=cpu", *pictures, *folder]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, whose modules are forgotten with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def check_command(words: list[str], snippet: Snippet, said: str) -> None:
    """Run a command; of one that is not run, compose the settings at least."""
    program, *arguments = words
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif snippet.mark == "not run":
        if program == "openretina" and arguments[0] == "optimize":
            parsed, _ = read_arguments(arguments[1:])
            compose(parsed, parsed.overrides if not parsed.multirun else [])
    else:
        assert program == "openretina", f"line {snippet.line}: say why {program} is not run"
        code = main(cut(arguments, Path.cwd()))
        assert code == (2 if snippet.mark == "fails" else 0), said


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if any(b.language in RUN for b in blocks)])
def test_the_snippets_of_a_page_run(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    said = ""
    for snippet in BLOCKS[page]:
        if snippet.mark == "first":
            check_command(shlex.split(snippet.why), snippet, f"{page}:{snippet.line}: {snippet.why}")
        if snippet.mark == "file":
            path = desk / snippet.why
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(snippet.text)
        elif snippet.language == "python" and snippet.mark != "not run":
            exec(compile(snippet.text, f"{page}:{snippet.line}", "exec"), names)  # noqa: S102  # the page's own code
        elif snippet.language == "yaml":
            yaml.safe_load(snippet.text)
        elif snippet.language == "bash":
            for words in snippet.commands:
                check_command(words, snippet, f"{page}:{snippet.line}: {words}")
            said = capsys.readouterr().err
        elif snippet.text.startswith("openretina: error:"):
            assert " ".join(snippet.text.split()) in " ".join(said.split()), f"{page}:{snippet.line}"


def test_the_extensions_of_contributing_work_in_a_copy_of_the_package(tmp_path: Path) -> None:
    shutil.copytree(
        PACKAGE, tmp_path / "openretina_cli", ignore=shutil.ignore_patterns("__pycache__", "simulated_retina")
    )
    shutil.copytree(config_directory(), tmp_path / "configs", dirs_exist_ok=True)
    files = {snippet.why: snippet.text for snippet in snippets(ROOT / "CONTRIBUTING.md") if snippet.mark == "file"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    chosen = "objective=largest constraint=[box] model=rectifier output=[minimal,trace] neuron=1 optimizer.lr=1 out=run"
    for words in (["optimize", *chosen.split()], ["census", "run"]):
        command = [sys.executable, "-m", "openretina_cli", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    assert len(files) == 9
    assert float((tmp_path / "run" / "trace.txt").read_text()) > 0
    assert done.stdout == f"{len([*(tmp_path / 'run').iterdir()])} files\n"


@pytest.mark.parametrize("page", BLOCKS)
def test_a_block_is_marked_by_its_language(page: str) -> None:
    written = {snippet.language for snippet in BLOCKS[page] if not snippet.language.startswith("{")}
    assert written <= {*RUN, *SHOWN, "sh"}
