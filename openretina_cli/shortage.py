"""Errors of a machine that runs short: of memory, of descriptors, of processes, of room on a disk."""

from __future__ import annotations

import errno

from openretina_cli.errors import RunError

MEMORY = ("DefaultCPUAllocator", "out of memory", "Cannot allocate memory", "failed to map segment")
"""Words of torch, of CUDA and of the dynamic linker."""

PROCESSES = "can't start new thread"
"""Words of Python's threading, which raises a bare RuntimeError."""


def explain_shortage(error: Exception) -> RunError | None:
    """The shortage behind an error, or None where there is none.

    Any error of the operating system that no part of the program expected is taken for one.
    """
    chained: BaseException | None = error
    while chained is not None:
        if (found := _shortage(chained)) is not None:
            return found
        chained = chained.__cause__ or chained.__context__
    return None


def _shortage(error: BaseException) -> RunError | None:
    text = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError) or any(words in text for words in MEMORY):
        return RunError("there is not enough memory", expected="more memory, or a smaller stimulus or stack")
    if isinstance(error, SystemError):  # CPython's word for an allocation that failed inside an extension
        return RunError(f"the interpreter failed: {text}", expected="more memory")
    if PROCESSES in text:
        return RunError("no more threads can be started", expected="more processes per user (ulimit -u)")
    if (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)) or "Too many open files" in text:
        return RunError("too many files are open", expected="more descriptors (ulimit -n)")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return RunError(f"{where}{error.strerror or text}")
    return None
