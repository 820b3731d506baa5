"""The benchmark of published core + readout shapes: `make bench-zoo`, or `python tests/benchmarks/zoo.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from environment import reference_python
from problem import relative_difference
from side import ENVIRONMENT, HERE
from zoo_shapes import FRAMES, NORM, SHAPES

SAME = 1e-4
"""Largest relative difference of two stimuli that count as the same."""
MOVED = 1e-2
"""Least relative change from start to end at which equal stimuli say that both sides found the same."""


def _ask(python: Path, script: str, *arguments: object) -> str:
    """What a script of this folder prints last."""
    command = [str(python), str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {arguments[0]}: {done.stderr[-2000:]}")
    return (done.stdout.splitlines() or [""])[-1]


def compare(name: str, reference: Path, place: Path, iterations: int, repeats: int) -> str:
    """One row: time per iteration of both sides, ratio, peak memory, and by how much the stimuli differ."""
    shape = SHAPES[name]
    _ask(reference, "zoo_maker.py", place, name)
    size = (1, shape.channels, FRAMES, shape.height, shape.width)
    np.save(place / "start.npy", np.random.default_rng(0).normal(size=size).astype(np.float32) * 0.1)
    answers: dict[str, list[dict[str, Any]]] = {"reference": [], "ours": []}
    for _ in range(repeats):
        for side, python in (("reference", reference), ("ours", Path(sys.executable))):
            arguments = (side, place / f"{name}.ckpt", place / "start.npy", place / f"{side}.npy", iterations)
            answers[side].append(json.loads(_ask(python, "zoo_side.py", *arguments)))
    theirs, ours = (statistics.median(a["seconds"] for a in answers[s]) / iterations for s in ("reference", "ours"))
    peaks = [max(a["peak_mb"] for a in answers[side]) for side in ("reference", "ours")]
    differs = relative_difference(np.load(place / "ours.npy"), np.load(place / "reference.npy"))
    start = np.load(place / "start.npy")
    moved = relative_difference(np.load(place / "reference.npy"), start * NORM / np.linalg.norm(start))
    sound = differs < SAME and moved > MOVED
    remark = "" if sound else "  THE STIMULI DIFFER, OR DID NOT MOVE: the times do not compare"
    return (
        f"{name:<16} {theirs:9.3f} s {1e3 * ours:9.1f} ms {theirs / ours:7.1f}x (asked {shape.asked:g})"
        f"  peak {peaks[0]:.0f} / {peaks[1]:.0f} MB  stimuli moved by {moved:.1e}, differ by {differs:.1e}{remark}"
    )


def main(arguments: Sequence[str]) -> None:
    """Print a row per shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", type=Path, help="interpreter with openretina 1.1.1")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="of these, separated by commas")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args(arguments)
    reference = options.reference_python or reference_python()
    sys.stdout.write(f"{'per iteration':<16} {'reference':>11} {'ours':>12} {'ratio':>8}\n")
    with tempfile.TemporaryDirectory() as place:
        for name in options.shapes.split(","):
            sys.stdout.write(compare(name, reference, Path(place), options.iterations, options.repeats) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
