"""What both sides of the benchmark are asked; imported by both, so it needs nothing but NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
CHECKPOINT = DATA / "ensemble"

# The example notebook's most exciting input, which is also the golden case `mei` and this tool's default run.
SESSION = "3_ventral1_20201021"
NEURONS = 113
NEURON = 42
FRAMES = 50
WINDOW_START, WINDOW_LENGTH = 10, 10
ITERATIONS = 10
LEARNING_RATE = 10.0
NORM = 5.0
RANGES = ((-0.654, 6.269), (-0.913, 6.269))
LAG, FRAME_RATE = 30, 30.0

THREADS = 2
SAME = 1e-4
"""Largest relative difference of two stimuli that count as the same; the problem amplifies rounding to about 4e-6."""


class Run(NamedTuple):
    """One stimulus to find: for a neuron, from the start that our tool draws from a seed."""

    neuron: int
    seed: int


def _shape(count: int) -> tuple[int, int]:
    """Seeds and neurons whose every pair is one of so many runs, with as many neurons as there are."""
    return next((n, count // n) for n in range(1, count + 1) if count % n == 0 and count // n <= NEURONS)


def runs(count: int) -> list[Run]:
    """That many runs: neurons of the session, and where there are too few, with several seeds each."""
    _, neurons = _shape(count)
    return [Run(index % neurons, index // neurons) for index in range(count)]


def swept(count: int) -> list[str]:
    """The same runs, in the same order, as overrides of a sweep."""
    seeds, neurons = _shape(count)
    return [f"seed=range({seeds})", f"neuron=range({neurons})"]


def relative_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference, as a share of the largest value expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
