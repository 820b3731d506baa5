"""Published core + readout shapes: time per iteration of one MEI, memory and arithmetic, beside the public package."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import Line
from numpy.typing import NDArray
from side import ENVIRONMENT, HERE, Side, SideError
from zoo_shapes import NORM, SHAPES, Shape

ENOUGH = 20
"""Fewer of our iterations, which are short, are not timed."""
PATIENCE = 60.0
"""Seconds of the package's time after which no further repeat begins."""
MOVED = 1e-2
"""Least relative change from start to end at which equal stimuli say that both sides found the same."""


def plain_flops(shape: Shape) -> int:
    """Operations of the dense convolutions, forward and back to the stimulus, as `flops` counts them."""
    lengths, channels, pairs = (shape.frames, shape.height, shape.width), shape.channels, 0
    layers = zip(shape.hidden, shape.temporal, shape.spatial, strict=True)
    for index, (out, frames, size) in enumerate(layers):
        padding = shape.paddings[index > 0]
        sides = (padding,) * 3 if type(padding) is int else padding or (0, 0, 0)
        if padding is not True:
            kernel = (frames, size, size)
            lengths = tuple(n - k + 1 + 2 * p for n, k, p in zip(lengths, kernel, sides, strict=True))  # type: ignore[arg-type, assignment]  # three
        pairs += int(np.prod(lengths)) * out * channels * frames * size**2
        if shape.pool is not None and index % shape.pool == 0:
            lengths = lengths[0], lengths[1] // 2, lengths[2] // 2
        channels = out
    return 4 * pairs


@dataclass
class ShapeResult:
    """What was found of one shape.

    Attributes:
        line: times per iteration.
        peaks: largest resident memory in MB (10^6 bytes), of the package and of us.
        difference: of the two stimuli, relative, in the L2 norm.
        done: floating-point operations of one of our iterations.
        needed: those of the plain form.
        product: GFLOP/s of a matrix product in our process.
    """

    line: Line
    peaks: tuple[float, float]
    difference: float
    done: int
    needed: int
    product: float

    def row(self) -> str:
        """Memory and arithmetic."""
        rate, own = 1e-9 / statistics.median(self.line.ours), self.done / 1e9
        return (
            f"{self.line.name.split()[1].removesuffix(','):<16} peak {self.peaks[0]:.0f} and {self.peaks[1]:.0f} MB,"
            f" stimuli differ by {self.difference:.1e}; {own:.3f} GFLOP done at {self.done * rate:.1f} GFLOP/s,"
            f" {self.done * rate / self.product:.0%} of a matrix product's {self.product:.0f};"
            f" plain form needs {self.needed / 1e9:.1f} GFLOP: {self.needed * rate:.0f} GFLOP/s of it"
        )


def _write_files(reference: Path, place: Path, name: str) -> dict[str, str]:
    """The checkpoint and the start of one shape."""
    shape = SHAPES[name]
    command = [str(reference), str(HERE / "zoo_maker.py"), str(place), name]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, check=False)
    if done.returncode:
        raise SideError(f"zoo_maker.py {name}: {done.stderr[-500:]}")
    size = (1, shape.channels, shape.frames, shape.height, shape.width)
    np.save(place / "start.npy", np.random.default_rng(0).normal(size=size).astype(np.float32) * 0.1)
    return {"name": name, "file": str(place / f"{name}.ckpt"), "start": str(place / "start.npy")}


def _distance(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _difference(place: Path) -> float:
    """Between the stimuli of both sides, relative, in the L2 norm; see `Shape.rate`.

    Raises:
        SideError: the stimuli did not move, so that their equality would say nothing.
    """
    start, theirs, ours = (np.load(place / f"{name}.npy") for name in ("start", "reference", "ours"))
    moved = _distance(theirs, start * min(1, NORM / np.linalg.norm(start)))
    if not moved > MOVED:
        raise SideError(f"a stimulus moved by {moved:.1e} only")
    return _distance(ours, theirs)


def measure_shape(name: str, reference: Path, place: Path, logs: Path, repeats: int) -> ShapeResult:
    """Time both sides in turn; each has its own process, so that its peak of memory is that of one shape.

    Raises:
        SideError: a side failed.
    """
    shape, files = SHAPES[name], _write_files(reference, place, name)
    line = Line(f"6  {name}, an iteration of one MEI", wanted=shape.asked)
    sides = {
        side: Side(python, "zoo_side.py", logs / f"zoo-{side}.log", ZOO_SIDE=side)
        for side, python in (("reference", reference), ("ours", Path(sys.executable)))
    }
    try:
        for side in sides.values():
            side.ask("load", **files)
        while len(line.ours) < repeats and sum(line.reference) * shape.iterations < PATIENCE:
            for whose, side in sides.items():
                seconds = side.ask("optimize", iterations=shape.iterations, save=str(place / f"{whose}.npy"))
                line.reference += [seconds] if whose == "reference" else []
            more = {"iterations": max(shape.iterations, ENOUGH), "save": str(place / "more.npy")}
            line.ours.append(sides["ours"].ask("optimize", **more))
        theirs, ours = (side.ask("peak_mb") for side in sides.values())
        mine = sides["ours"]
        return ShapeResult(
            line, (theirs, ours), _difference(place), mine.ask("flops"), plain_flops(shape), mine.ask("matrix_product")
        )
    finally:
        for side in sides.values():
            side.close()
