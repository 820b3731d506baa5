"""The most memory that this process has held, as Linux counts it.

`resource.getrusage` does not serve: the peak it returns is that of the process which started this one, where that was
larger, since a new program takes over the peak of the memory that it replaces (getrusage(2), ru_maxrss).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """Return the most memory this process has held since it began or `forget_peak()`, in MB of 2**20 bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """Start the peak of memory anew, so that it does not hold what was done before (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _grown(task: Callable[..., object], arguments: tuple[Any, ...]) -> float:
    forget_peak()
    before = peak_mb()
    task(*arguments)
    return peak_mb() - before


def growth_mb(task: Callable[..., object], *arguments: Any) -> float:
    """Return how much a task adds to the memory of a process that has done nothing before, in MB of 2**20 bytes.

    What other tests have given back to this process' allocator would otherwise be used again, unseen.

    Args:
        task: a function of a module.
        arguments: for it.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_grown, task, arguments).result()
