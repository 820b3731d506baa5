"""The benchmark: `make bench`, or `python tests/benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ops
import startup
import table
from cold import breakdown, cold, write_start
from comparison import Comparison, Line
from environment import NoReferenceError, reference_python
from machine import machine
from memory import measure
from problem import DATA, NEURON, ROOT, SAME, SESSION, THREADS, Run, relative_difference, runs
from side import Side, SideError
from zoo import ShapeResult, measure_shape
from zoo_shapes import SHAPES

CPU_AND_GPU = 1e-3
"""Largest relative difference between a CPU's and a GPU's stimulus, whose sums run in other orders."""
BUSY = 0.5
"""Cores that others use (the load average of a minute) above which times are noise."""
EVERY_LINE = "startup,ops,1,2,3,4,5,6"


@dataclass
class Bench:
    """One benchmark on its way."""

    options: argparse.Namespace
    reference: Path | None
    place: Path
    lines: list[Line] = field(default_factory=list)
    differences: dict[str, list[float]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    shapes: list[ShapeResult] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """What the warm lines may ask; the notebook's neuron is among them."""
        return runs(max(self.options.runs, NEURON + 1))

    def wants(self, *lines: str) -> bool:
        """Whether any of the lines is asked for."""
        return bool(set(lines) & set(self.options.lines.split(",")))

    def measure(self, measured: Callable[[], None], *lines: str) -> None:
        """Measure something if one of its lines is asked for; what fails is told after what was found."""
        if self.wants(*lines):
            try:
                measured()
            except SideError as error:
                self.failures.append(str(error))

    def warm_lines(self) -> None:
        """Lines 1 to 3, with both sides loaded."""
        ours = Side(Path(sys.executable), "our_side.py", self.options.out / "ours.log")
        reference = None
        if self.reference is not None:
            reference = Side(self.reference, "reference_side.py", self.options.out / "reference.log")
        try:
            self._compare(ours, reference)
        finally:
            for side in (ours, reference):
                if side is not None:
                    side.close()

    def _load(self, ours: Side, reference: Side | None) -> dict[str, Side]:
        """Load both; returns those there are, by name."""
        starts, device = str(self.place / "starts.npy"), self.options.device
        count = len(self.runs)
        self.record["versions"] = {"ours": ours.ask("load", device=device, count=count, starts=starts)}
        if reference is None:
            return {"ours": ours}
        asked = {"checkpoint": str(DATA / "ensemble"), "device": device, "starts": starts}
        self.record["versions"]["reference"] = reference.ask("load", **asked)
        return {"ours": ours, "reference": reference}

    def _compare(self, ours: Side, reference: Side | None) -> None:
        sides = self._load(ours, reference)
        self._check_golden(ours)
        self.record["work"] = {name: side.ask("flops") for name, side in sides.items()}
        options = self.options
        comparison = Comparison(ours, reference, self.place, options.repeats, self.runs, options.runs, options.subset)
        for name, lines in {
            "1": lambda: [comparison.one()],
            "2": lambda: [comparison.many()],
            "3": lambda: [comparison.artefacts(player=False), comparison.artefacts(player=True)],
        }.items():
            if self.wants(name):
                self.lines += lines()
        self.differences["ours and reference"] = comparison.differences
        for name, side in sides.items():
            self.record["work"][name]["matrix_product"] = [side.ask("matrix_product") for _ in range(options.repeats)]
        if options.device != "cpu":
            self._check_devices(ours)

    def _check_golden(self, ours: Side) -> None:
        """Our side against the numbers that are kept with the tests; all there is where the reference is not."""
        found = self.place / "golden.npy"
        ours.ask("golden", start=str(write_start(self.place)), save=str(found))
        expected = np.load(DATA / "ensemble.npz")["mei/stimulus"]
        self.differences["ours and golden"] = [relative_difference(np.load(found), expected)]

    def _check_devices(self, ours: Side) -> None:
        """The same runs on the CPU and on the device."""
        cpu, found = Side(Path(sys.executable), "our_side.py", self.options.out / "cpu.log"), []
        try:
            cpu.ask("load", device="cpu", count=1, starts=str(self.place / "starts-cpu.npy"))
            for name, side in (("cpu", cpu), ("gpu", ours)):
                side.ask("optimize", first=0, count=self.options.subset, save=str(self.place / f"{name}.npy"))
                found.append(np.load(self.place / f"{name}.npy"))
        finally:
            cpu.close()
        self.differences["cpu and gpu"] = [relative_difference(b, a) for a, b in zip(*found, strict=True)]

    def cold_line(self) -> None:
        """Line 4."""
        for player in (False, True):
            line, differences = cold(self.reference, self.place, self.options.repeats, player)
            self.lines.append(line)
            self.differences.setdefault("cold commands", []).extend(differences)
        self.record["breakdown"] = breakdown(self.place)

    def memory_line(self) -> None:
        """Line 5."""
        sizes = [int(size) for size in self.options.sweep_runs.split(",")]
        self.record["memory"] = [
            measure(size, self.place, self.options.out / f"sweep-{size}.log", self.options.sweep_output)
            for size in sizes
        ]

    def ops_line(self) -> None:
        """Operations per iteration, which no other process disturbs."""
        self.record["operations"] = ops.operations(self.options.device)

    def shape_lines(self) -> None:
        """Line 6; its files are written through the reference, so that there is none without it."""
        if self.reference is None:
            return
        for name in self.options.shapes.split(","):
            found = measure_shape(name, self.reference, self.place, self.options.out, self.options.repeats)
            self.shapes.append(found)
            self.lines.append(found.line)
            self.differences[f"the shape {name}"] = [found.difference]

    def check(self) -> None:
        """Refuse to go on if the sides found different stimuli, as their times would not compare.

        Raises:
            SideError: they did.
        """
        for name, differences in self.differences.items():
            limit = CPU_AND_GPU if name == "cpu and gpu" else SAME
            worst = max(differences, default=0.0)
            if not worst < limit:
                raise SideError(f"stimuli of {name} differ by {worst:.1e}, more than {limit:g}; no times are printed")

    def report(self) -> Iterable[str]:
        """What is printed, line by line."""
        facts = self.record["machine"]
        if facts["load_before"] > BUSY:
            yield f"others were using {facts['load_before']:.1f} cores when this began: the times are not to be trusted"
        yield f"{facts['processor']}, {facts['cores']} cores, {THREADS} threads, {self.options.device}, {SESSION}"
        for name, differences in self.differences.items():
            if differences:
                yield f"{len(differences)} stimuli of {name} differ by at most {max(differences):.1e}"
        yield from ops.rows(self.record["operations"]) if "operations" in self.record else ()
        yield from table.comparison_rows(self.lines, asked=self.options.device == "cpu")
        yield from table.rate_rows(self.lines, self.record.get("work", {}))
        yield from (shape.row() for shape in self.shapes)
        if "breakdown" in self.record:
            yield "where one cold command's time goes:"
            yield from table.breakdown_rows(self.record["breakdown"])
        yield from table.memory_rows(self.record.get("memory", []))

    def write(self) -> Path:
        """Write all raw numbers, and return the file."""
        self.record["lines"] = [{**asdict(line), "ratio": table.ratio(line)} for line in self.lines]
        self.record["differences"] = self.differences
        self.record["shapes"] = [asdict(shape) for shape in self.shapes]
        self.record["options"] = {key: str(value) for key, value in vars(self.options).items() if key != "out"}
        file: Path = self.options.out / "bench.json"
        file.write_text(json.dumps(self.record, indent=1) + "\n")
        return file


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("--lines", default=EVERY_LINE, help=f"which lines, of {EVERY_LINE}")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for lines 1 to 3 of both sides on a GPU")
    parser.add_argument("--repeats", type=int, default=5, help="how often each side is timed")
    parser.add_argument("--runs", type=int, default=113, help="runs of lines 2 and 3; neurons repeat, with other seeds")
    parser.add_argument("--subset", type=int, default=8, help="how many of those the reference solves per repeat")
    parser.add_argument("--sweep-runs", default="113,1000", help="sizes of the sweeps of line 5")
    parser.add_argument("--sweep-output", default="full", help="full, or minimal for no pictures in line 5")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="core + readout shapes of line 6")
    parser.add_argument("--reference-python", type=Path, help="an interpreter that has the reference package already")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "bench", help="folder of bench.json")
    return parser.parse_args()


def find_reference(options: argparse.Namespace) -> Path | None:
    """The interpreter of the reference, or None where it cannot be installed, which is said."""
    if not {"1", "2", "3", "4", "6"} & set(options.lines.split(",")):
        return None
    if options.reference_python is not None:
        return Path(options.reference_python)
    try:
        return reference_python()
    except NoReferenceError as error:
        sys.stdout.write(f"the reference package could not be installed ({error}); only our side is timed\n")
        return None


def main() -> None:
    """Run the lines that are asked for, check, print, write."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(options, find_reference(options), Path(place))
        bench.record["machine"] = machine()
        if bench.wants("startup"):
            startup.main()
        bench.measure(bench.ops_line, "ops")
        bench.measure(bench.warm_lines, "1", "2", "3")
        bench.measure(bench.cold_line, "4")
        bench.measure(bench.memory_line, "5")
        bench.measure(bench.shape_lines, "6")
        bench.check()
        sys.stdout.write("".join(f"{row}\n" for row in bench.report()))
        sys.stdout.write(f"written to {bench.write()}\n")
    if bench.failures:
        sys.exit("".join(f"bench: {failure}\n" for failure in bench.failures))


if __name__ == "__main__":
    try:
        main()
    except SideError as error:
        sys.exit(f"bench: {error}")
