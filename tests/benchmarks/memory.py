"""Peak memory of a command and all of its processes.

Counted is the proportional set size (PSS, `/proc/PID/smaps_rollup`), summed over the tree and polled: what processes
share is counted once, as forked workers would otherwise count the same pages again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from problem import CHECKPOINT, swept
from side import ENVIRONMENT, SideError

PAUSE = 0.05
"""Seconds between looks; shorter peaks are missed, though activations of a stack live longer."""


@dataclass
class Usage:
    """What a command took.

    Attributes:
        runs: stimuli that were found.
        peak_mb: the largest PSS of the tree that was seen, in MB (10^6 bytes).
        seconds: wall time.
        processes: the most processes that were seen at once.
    """

    runs: int
    peak_mb: float
    seconds: float
    processes: int


def sweep(runs: int, out: Path, output: str) -> list[str]:
    """The command of a sweep of that many runs."""
    tool = str(Path(sys.executable).parent / "openretina")
    model = ["model=ensemble_directory", f"model.path={CHECKPOINT}"]
    return [tool, "optimize", "-m", *model, f"output={output}", f"out={out}", *swept(runs)]


def _parents() -> dict[int, int]:
    """The parent of every process."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it ended
                state = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(state[1])
    return parents


def _tree(root: int) -> list[int]:
    parents = _parents()
    found = [root]
    for process in found:  # which grows on the way
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _proportional_set(process: int) -> int:
    """PSS in bytes; 0 for a process that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _watch(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The largest PSS in bytes, and number, of a command's processes until it ends."""
    peak = most = 0
    while process.poll() is None:
        tree = _tree(process.pid)
        peak, most = max(peak, sum(map(_proportional_set, tree))), max(most, len(tree))
        time.sleep(PAUSE)
    return peak, most


def measure(runs: int, place: Path, log: Path, output: str) -> dict[str, float]:
    """Make a sweep in a folder of `place`, what it prints going into a log, and watch it.

    Raises:
        SideError: it failed, or left a run out.
    """
    folder = place / f"sweep-{runs}"
    started = time.perf_counter()
    with log.open("w") as file:
        environment = {**os.environ, **ENVIRONMENT}
        process = subprocess.Popen(
            sweep(runs, folder, output), cwd=place, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        peak, most = _watch(process)
    seconds = time.perf_counter() - started
    finished = len([*folder.rglob("result.json")])
    if process.returncode or finished != runs:
        raise SideError(f"the sweep of {runs} exits with {process.returncode} and {finished} finished runs (see {log})")
    return asdict(Usage(runs, peak / 1e6, seconds, most))
