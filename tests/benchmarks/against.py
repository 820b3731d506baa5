"""This checkout against an earlier commit of its own, both sides in one run: `make bench-against COMMIT=24de382`.

Whole commands are timed as processes; one and many most exciting inputs in two processes that stay warm. The sides take
turns, and each line prints both medians and their ratio: below 1 this checkout is slower.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
from comparison import Line
from machine import machine
from problem import DATA, ROOT, SAME, relative_difference, swept
from side import ENVIRONMENT, HERE, Side, SideError
from table import comparison_rows

MODEL = ("model=ensemble_directory", f"model.path={DATA / 'ensemble'}")
COMMANDS: dict[str, tuple[str, ...]] = {
    "openretina --help": ("--help",),
    "openretina optimize --help": ("optimize", "--help"),
    "a misspelt setting": ("optimize", "neurn=3"),
    "one cold command, tensors and tables": ("optimize", *MODEL, "output=minimal", "out=run"),
    "one cold command, every file": ("optimize", *MODEL, "out=run"),
    "113 runs, tensors and tables": ("optimize", "-m", *MODEL, *swept(113), "output=minimal", "out=run"),
    "113 runs, every file": ("optimize", "-m", *MODEL, *swept(113), "out=run"),
}
"""What a user types, by the name of its line."""
MANY = 113
"""Runs of the warm stack: the neurons of the session."""

Timed = Callable[[Path], float]
"""Takes a checkout, and returns seconds."""


def checkout(commit: str, place: Path) -> Path:
    """The files of a commit of this repository, in a folder.

    Raises:
        SideError: there is no such commit.
    """
    git = shutil.which("git") or "git"
    done = subprocess.run([git, "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SideError(f"{commit} is no commit of this repository: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(place, filter="data")
    return place


def _command(arguments: Sequence[str], place: Path) -> Timed:
    """Times one whole command, as the installed one starts it, in an empty folder."""

    def seconds(tree: Path) -> float:
        folder = place / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        start = "from openretina_cli.cli import command; command()"
        if not (tree / "openretina_cli" / "cli.py").is_file():
            start = "from openretina_cli.main import command; command()"
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(tree), "COLUMNS": "100"}
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", start, *arguments], cwd=folder, env=environment, capture_output=True)
        return time.perf_counter() - started

    return seconds


def _in_turn(name: str, before: Path, rounds: int, timed: Timed) -> Line:
    """Times both checkouts in turn, after a round that is not counted."""
    line = Line(name, wanted=1)
    for repeat in range(-1, rounds):
        first, second = (before, ROOT) if repeat % 2 else (ROOT, before)
        for tree in (first, second):
            seconds = timed(tree)
            if repeat >= 0:
                (line.reference if tree is before else line.ours).append(seconds)
    return line


def _warm(before: Path, place: Path, rounds: int) -> Iterator[Line]:
    """One most exciting input, and those of a session as stacks, in processes that have the model loaded.

    Raises:
        SideError: the sides found different stimuli.
    """
    sides = {
        tree: Side(
            Path(sys.executable),
            str(tree / HERE.relative_to(ROOT) / "our_side.py"),
            place / f"warm-{tree is before}.log",
            PYTHONPATH=str(tree),
        )
        for tree in (before, ROOT)
    }
    found: dict[Path, Path] = {tree: place / f"found-{tree is before}.npy" for tree in sides}
    try:
        for side in sides.values():
            side.ask("load", device="cpu", count=MANY, starts=str(place / "starts.npy"))
        for name, count in (("one MEI, warm", 1), (f"{MANY} MEIs, warm", MANY)):

            def seconds(tree: Path, count: int = count) -> float:
                taken: float = sides[tree].ask("optimize", first=0, count=count, save=str(found[tree]))
                return taken

            yield _in_turn(name, before, rounds, seconds)
        difference = relative_difference(np.load(found[ROOT]), np.load(found[before]))
        if not difference < SAME:
            raise SideError(f"the stimuli of both checkouts differ by {difference:.1e}, more than {SAME:g}")
    finally:
        for side in sides.values():
            side.close()


def main() -> None:
    """Time every line, and print them as they are measured."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/against.py", description=__doc__)
    parser.add_argument("commit", help="the earlier commit")
    parser.add_argument("--rounds", type=int, default=9, help="how often each side is timed; sweeps a third of it")
    options = parser.parse_args()
    facts = machine()
    sys.stdout.write(f"{facts['processor']}, {facts['cores']} cores, load {facts['load_before']:.1f} before\n")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        before = checkout(options.commit, place / "before")
        commands = (
            _in_turn(name, before, max(options.rounds // (3 if "runs" in name else 1), 1), _command(arguments, place))
            for name, arguments in COMMANDS.items()
        )
        sys.stdout.write("".join(f"{row}\n" for row in comparison_rows([], asked=False)))
        for line in chain(commands, _warm(before, place, options.rounds)):
            *_, row = comparison_rows([line], asked=False)
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except SideError as error:
        sys.exit(f"bench: {error}")
