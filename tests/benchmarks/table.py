"""The table that the benchmark prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from comparison import Line


def _spread(seconds: Sequence[float]) -> str:
    """Median, and least and greatest, in ms or s."""
    if not seconds:
        return "-"
    scale, unit, digits = (1e3, "ms", 1) if statistics.median(seconds) < 1 else (1.0, "s", 2)
    low, middle, high = (f"{scale * f(seconds):.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} {unit} ({low} to {high})"


def ratio(line: Line) -> float | None:
    """How many times faster we are, by medians."""
    if not line.reference:
        return None
    return statistics.median(line.reference) / statistics.median(line.ours)


def comparison_rows(lines: Iterable[Line], asked: bool) -> Iterator[str]:
    """A row per line: the reference's median and spread, ours, ratio, and what was asked for on 2 CPU cores."""
    yield f"{'':<56} {'reference':<28} {'ours':<28} {'ratio':>6}  asked"
    for line in lines:
        times = "" if (found := ratio(line)) is None else f"{found:.1f}"
        wanted = f"{line.wanted:g}" if asked and line.wanted else "-"
        yield f"{line.name:<56} {_spread(line.reference):<28} {_spread(line.ours):<28} {times:>6}  {wanted}"


def rate_rows(lines: Iterable[Line], work: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What arithmetic was done, how fast, and how fast a matrix product is in the same process."""
    for line in lines:
        if not line.plain_flops:
            continue
        for side, seconds in (("reference", line.reference), ("ours", line.ours)):
            if seconds:
                yield _rate_row(line.name, side, statistics.median(seconds), work)


def _rate_row(name: str, side: str, seconds: float, work: Mapping[str, Mapping[str, Any]]) -> str:
    mine = work[side]
    alone = name.startswith("1") or "run_in_stack" not in mine
    needed, done = work["ours"]["needed"], mine["run" if alone else "run_in_stack"]
    peak = statistics.median(mine["matrix_product"])
    return (
        f"{name.split()[0]:<2} {side:<10} {done / 1e9:6.1f} GFLOP done at {done / seconds / 1e9:6.1f} GFLOP/s,"
        f" {done / seconds / 1e9 / peak:4.0%} of a matrix product's {peak:.0f};"
        f" plain form needs {needed / 1e9:.1f} GFLOP: {needed / seconds / 1e9:.0f} GFLOP/s of it"
    )


def breakdown_rows(parts: Mapping[str, float]) -> Iterator[str]:
    """Where one cold command's time goes, in the order it was first spent."""
    total = sum(parts.values())
    for name, seconds in parts.items():
        yield f"{name:<30} {1e3 * seconds:7.0f} ms  {seconds / total:4.0%}"
    yield f"{'sum, the wall time':<30} {1e3 * total:7.0f} ms"


def memory_rows(usages: Iterable[Mapping[str, float]]) -> Iterator[str]:
    """Peak memory of sweeps."""
    for usage in usages:
        each = usage["seconds"] / usage["runs"]
        yield (
            f"5  a sweep of {usage['runs']:.0f}: peak {usage['peak_mb']:.0f} MB in {usage['processes']:.0f} processes,"
            f" {usage['seconds']:.1f} s ({1e3 * each:.0f} ms per run)"
        )
