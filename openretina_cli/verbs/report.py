"""Make page, table and stack of a folder's runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from openretina_cli.completion import paths
from openretina_cli.config.paths import expand_word
from openretina_cli.errors import SettingError
from openretina_cli.report import ReportFiles, write_report
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar

WRITES_FILES = True
HELP = """\
usage: openretina report DIR [DIR ...]

Put together what came out of the runs in a folder, at any depth below it.

  openretina report outputs/sweep            the runs of a sweep
  openretina report outputs/2026-11-22       all runs of a day
  openretina report outputs/sweep/neuron=42  one run

Written into each folder, anew:

  index.html   a page to look through the runs: sort, filter, open, compare;
               any browser opens it, and it needs no network
  summary.csv  a row per run, with the settings that differ between them
  stimuli.npz  all stimuli in one array, for numpy.load

Runs that failed are listed with their error, and broken folders as unreadable.
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders."""
    del before
    return paths(word, folders_only=True)


def _check(words: Sequence[str]) -> list[Path]:
    """The folders named.

    Raises:
        SettingError: there is none, or something else is named.
    """
    if not words:
        raise SettingError("report needs a folder", expected="DIR [DIR ...]", repair="openretina report outputs")
    for word in words:
        if not Path(word).is_dir() and (word.startswith("-") or "=" in word):
            raise SettingError(f"report takes folders only, and {word} is none", expected="DIR [DIR ...]")
    return [Path(word) for word in words]


def _print_files(files: ReportFiles, console: SafeConsole) -> None:
    console.print(f"{files.runs} {'run' if files.runs == 1 else 'runs'}", style="bold")
    for path in files.paths:
        console.print(str(path), overflow="fold")


def run(argv: Sequence[str]) -> None:
    """Run `openretina report` with its arguments.

    Raises:
        OpenRetinaError: a folder is not there, holds no run, or cannot be written.
    """
    console = make_console()
    for folder in _check([expand_word(word) for word in argv]):
        with Bar(console, f"reading {folder.name or folder}") as bar, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of numbers that overflow
            files = write_report(folder, bar.move)
        _print_files(files, console)
