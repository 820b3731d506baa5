"""One whole command, from process start to finished folder, on both sides; and where our time goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from comparison import Line
from problem import CHECKPOINT, DATA, NEURON, relative_difference
from side import ENVIRONMENT, HERE, SideError


def write_start(place: Path) -> Path:
    """The golden case's start, in a file that both sides read."""
    file = place / "start.pt"
    torch.save(torch.from_numpy(np.load(DATA / "ensemble.npz")["mei/initial"]), file)
    return file


def arguments(start: Path, folder: Path) -> list[str]:
    """What is typed after `openretina`."""
    model = ["model=ensemble_directory", f"model.path={CHECKPOINT}"]
    return ["optimize", *model, f"neuron={NEURON}", f"stimulus.file={start}", "output.dpi=168", f"out={folder}"]


def _seconds(command: list[str], folder: Path, **variables: str) -> float:
    """Wall time of one process that makes a folder.

    Raises:
        SideError: it failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, **ENVIRONMENT, "SPAWNED": repr(time.time()), **variables}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SideError(f"{' '.join(command[:3])}: {done.stderr.strip().splitlines()[-1:]}")
    return seconds


def cold(reference: Path | None, place: Path, repeats: int, player: bool) -> tuple[Line, list[float]]:
    """Time both commands in turn, after a round that is not counted (the disk's cache is warm, no process is).

    Returns:
        The line, and the relative difference of the stimuli.
    """
    line = Line(f"4  one cold command ({'player' if player else 'MP4'})", wanted=2)
    start, ours, theirs = write_start(place), place / "cold", place / "cold-reference"
    command = [str(Path(sys.executable).parent / "openretina"), *arguments(start, ours)]
    script = [str(reference), str(HERE / "reference.py"), str(CHECKPOINT), str(start), str(theirs)]
    script += ["--player"] if player else []
    for repeat in range(-1, repeats):
        if reference is not None:
            seconds = _seconds(script, theirs)
            line.reference += [seconds] if repeat >= 0 else []
        seconds = _seconds(command, ours)
        line.ours += [seconds] if repeat >= 0 else []
    if reference is None:
        return line, []
    found, expected = (torch.load(folder / "stimulus.pt").numpy() for folder in (ours, theirs))
    return line, [relative_difference(found, expected)]


def breakdown(place: Path) -> dict[str, float]:
    """Seconds of each part of our command, in one process with a tracer in it; they sum to its wall time."""
    folder, file = place / "traced", place / "timeline.json"
    command = [sys.executable, str(HERE / "timeline.py"), *arguments(write_start(place), folder)]
    seconds = _seconds(command, folder, TIMELINE=str(file))
    parts: dict[str, float] = json.loads(file.read_text())
    parts["end python"] = seconds - sum(parts.values())
    return parts
