"""The most memory that this process has held, as Linux counts it.

`resource.getrusage` does not serve: the peak it returns is that of the process which started this one, where that was
larger, since a new program takes over the peak of the memory that it replaces (getrusage(2), ru_maxrss).
"""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """Return the most memory this process has held since it began or `forget_peak()`, in MB of 2**20 bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """Start the peak of memory anew, so that it does not hold what was done before (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
