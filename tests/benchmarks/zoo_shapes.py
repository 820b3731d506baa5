"""The shapes of published core + readout checkpoints; imported by both sides, so it needs nothing but Python."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """The shape of a stimulus and of the core that sees it; `asked` is how many times faster than the package."""

    channels: int
    height: int
    width: int
    hidden: tuple[int, ...]
    temporal: tuple[int, ...]
    spatial: tuple[int, ...]
    padding: bool | int
    pool: int | None
    cut: int
    asked: float


SHAPES = {
    "low_res": Shape(2, 18, 16, (16, 16), (21, 11), (11, 5), False, None, 0, 10),
    "maheswaranathan": Shape(1, 50, 50, (16, 32), (21, 11), (15, 11), False, None, 0, 30),
    "karamanlis": Shape(1, 60, 80, (16, 32, 64), (11, 11, 11), (21, 15, 11), 5, None, 0, 100),
    "high_res": Shape(2, 72, 64, (16,) * 4, (13, 11, 5, 5), (15, 15, 7, 7), 5, 2, 0, 100),
}
FRAMES, NEURON, SESSION = 50, 3, "session_1"
LEARNING_RATE = 3e6  # untrained networks have gradients of about 1e-6, and the stimulus must move
NORM, RANGE = 20.0, (-3.0, 3.0)
WINDOW_START, WINDOW_LENGTH = 0, 10
