"""The shapes of published core + readout checkpoints; imported by both sides, so it needs nothing but Python."""

from __future__ import annotations

from typing import NamedTuple

Padding = bool | int | tuple[int, int, int]


class Shape(NamedTuple):
    """A published model's stimulus and layers, and what the benchmark asks of it.

    All but `image` drop 30 frames of the stimulus, by unpadded convolutions or by a cut.

    Attributes:
        channels: of the stimulus.
        height: rows of the stimulus.
        width: columns of the stimulus.
        hidden: channels of the layers.
        temporal: frames of the kernels.
        spatial: rows and columns of the kernels.
        asked: how many times faster than the package; 0 where no factor is asked for.
        rate: learning rate that moves the stimulus by 2 percent or more in the iterations. Where layers are pooled, it
            is so small that a tie does not matter: the package's float32 gradient is that of its float64 to 1e-6, but
            where the two largest of four pixels are equal to rounding, and each precision chooses another, by 2.5e-3.
        iterations: of the package that are timed, after one that is not.
        paddings: of the first convolution and of the others, as settings say it.
        pool: every so many layers are pooled.
        cut: frames dropped at the end.
        points: whether neurons look at one point each.
        image: whether the stimulus has a single frame.
    """

    channels: int
    height: int
    width: int
    hidden: tuple[int, ...]
    temporal: tuple[int, ...]
    spatial: tuple[int, ...]
    asked: float
    rate: float
    iterations: int
    paddings: tuple[Padding, Padding]
    pool: int | None = None
    cut: int = 0
    points: bool = False
    image: bool = False

    @property
    def frames(self) -> int:
        """Frames of the stimulus."""
        return 1 if self.image else 50

    @property
    def window(self) -> int:
        """The first response frames, so many, are what the objective averages."""
        return 1 if self.image else 10


SHAPES = {
    "low_res": Shape(2, 18, 16, (16, 16), (21, 11), (11, 5), 10, 1.0, 30, (False, (0, 2, 2))),
    "high_res": Shape(2, 72, 64, (16,) * 4, (13, 11, 5, 5), (15, 15, 7, 7), 100, 0.1, 2, (5, True), pool=2, cut=28),
    "maheswaranathan": Shape(1, 50, 50, (16, 32), (21, 11), (15, 11), 30, 1.0, 10, (False, (0, 5, 5))),
    "karamanlis": Shape(1, 60, 80, (16, 32, 64), (11, 11, 11), (21, 15, 11), 100, 1.0, 2, (5, True), cut=30),
    "sridhar": Shape(1, 80, 90, (64,) * 3, (15, 11, 7), (21, 15, 11), 0, 1e3, 1, (False, False), points=True),
    "goldin": Shape(1, 108, 108, (4,), (1,), (30,), 0, 20.0, 30, (False, False), image=True),
}
NEURON, SESSION = 3, "session_1"
NORM, RANGE = 20.0, (-3.0, 3.0)
