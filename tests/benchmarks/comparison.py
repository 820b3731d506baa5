"""Both sides in turn on the same problem, both warm, and whether they found the same stimuli."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from problem import NEURON, Run, relative_difference
from side import Side

SHORT_ROUNDS = 3
"""One run is over so soon that it is timed this many times as often as the rest."""


@dataclass
class Line:
    """One line of the table.

    Attributes:
        name: what was timed.
        ours: seconds per run, of each repeat.
        reference: likewise; empty where the reference could not be installed.
        wanted: how many times faster is asked for.
        plain_flops: whether the time is that of arithmetic alone, so that a rate makes sense.
    """

    name: str
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    wanted: float = 1.0
    plain_flops: bool = False


@dataclass
class Comparison:
    """Two warm sides.

    Attributes:
        ours: our side, loaded.
        reference: the reference's, loaded; None where it could not be installed.
        place: a folder for what they find.
        repeats: how often each is timed.
        runs: what may be asked of them; both know them by their places in it.
        count: how many of them, from the first, are solved together.
        subset: how many of them the reference solves per repeat, one after another; others in each repeat.
        differences: relative differences of stimuli that both found.
    """

    ours: Side
    reference: Side | None
    place: Path
    repeats: int
    runs: Sequence[Run]
    count: int
    subset: int
    differences: list[float] = field(default_factory=list)

    def one(self) -> Line:
        """One stimulus, with everything loaded."""
        line = Line("1  one MEI, 10 iterations, warm", wanted=15, plain_flops=True)
        rounds = SHORT_ROUNDS * self.repeats
        return self._alternate(line, NEURON, 1, rounds, lambda repeat: range(NEURON, NEURON + 1), self._optimize)

    def many(self) -> Line:
        """A stimulus for each neuron of a session; the reference's time is that of a subset."""
        line = Line(f"2  {self.count} MEIs, per MEI", wanted=22, plain_flops=True)
        return self._alternate(line, 0, self.count, self.repeats, self._some, self._optimize)

    def artefacts(self, player: bool) -> Line:
        """The same with all files written.

        Args:
            player: whether the reference writes the notebook's player instead of its MP4.
        """
        video = "notebook's player" if player else "MP4"
        line = Line(f"3  {self.count} runs with all files ({video}), per run", wanted=15)

        def write(_: int, count: int, some: range | None) -> list[float]:
            folder = self.place / "runs"
            shutil.rmtree(folder, ignore_errors=True)
            if some is None:
                return [self.ours.ask("artefacts", count=count, folder=str(folder)) / count]
            asked = {"first": some.start, "neurons": self._neurons(some), "folder": str(folder), "player": player}
            return self._reference("artefacts", **asked)

        return self._alternate(line, 0, self.count, self.repeats, self._some, write)

    def _some(self, repeat: int) -> range:
        """The runs that the reference solves in a repeat."""
        size = min(self.subset, self.count)
        first = repeat * size % (self.count - size + 1)
        return range(first, first + size)

    def _alternate(
        self,
        line: Line,
        first: int,
        count: int,
        rounds: int,
        some: Callable[[int], range],
        time: Callable[[int, int, range | None], list[float]],
    ) -> Line:
        """Time the reference and us in turn, after a round that is not counted."""
        for repeat in range(-1, rounds):
            reference = time(first, count, some(max(repeat, 0))) if self.reference is not None else []
            ours = time(first, count, None)
            if repeat >= 0:
                line.reference += reference
                line.ours += ours
        return line

    def _optimize(self, first: int, count: int, some: range | None) -> list[float]:
        """Time one side; once both have found some stimuli, compare them."""
        if some is not None:
            seconds = self._reference(
                "optimize", first=some.start, neurons=self._neurons(some), save=str(self._file("a"))
            )
            self._compared = range(some.start - first, some.stop - first)
            return seconds
        seconds_of_all = self.ours.ask("optimize", first=first, count=count, save=str(self._file("b")))
        if self.reference is not None:
            self._compare(np.load(self._file("b")), np.load(self._file("a")))
        return [seconds_of_all / count]

    def _compare(self, ours: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
        for index, expected in zip(self._compared, reference, strict=True):
            self.differences.append(relative_difference(ours[index], expected))

    def _reference(self, what: str, **arguments: object) -> list[float]:
        assert self.reference is not None
        seconds: list[float] = self.reference.ask(what, **arguments)
        return seconds

    def _file(self, name: str) -> Path:
        return self.place / f"{name}.npy"

    def _neurons(self, indices: range) -> list[int]:
        return [self.runs[index].neuron for index in indices]
