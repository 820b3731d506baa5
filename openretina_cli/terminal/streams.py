"""Standard output and error: what an encoding cannot show is replaced, and a closed or full stream ends nothing."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from openretina_cli.text import printable

if TYPE_CHECKING:
    import logging

RAISING = ("strict", "surrogateescape")
"""Ways of streams to treat what their encoding cannot show: an error, or the bytes of a file name as they are."""


def _set_errors(stream: io.TextIOWrapper, errors: str) -> None:
    with suppress(OSError, ValueError):  # a stream that is closed or full fails where it is written to
        stream.reconfigure(errors=errors)


@contextmanager
def replacing_streams() -> Iterator[None]:
    """Has the standard streams replace what their encoding cannot show; afterwards they are as before."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [(stream, stream.errors) for stream in streams if stream.errors in RAISING]
    for stream, _ in before:
        _set_errors(stream, "replace")
    try:
        yield
    finally:
        for stream, errors in before:
            _set_errors(stream, errors or "strict")


def write_text(text: str) -> None:
    """Writes lines of text to standard output, without anything that controls a terminal."""
    sys.stdout.write(printable(text))


def output_handler() -> logging.Handler:
    """A handler that writes log records to standard output."""
    import logging  # which takes 6 ms, and help need not wait for it

    return logging.StreamHandler(sys.stdout)


class _Lasting(io.FileIO):
    """A file descriptor whose text goes nowhere once it cannot be written.

    Attributes:
        problem: why text was lost; None as long as all was written.
    """

    problem: OSError | None = None

    def write(self, content: object) -> int:
        """Write bytes, or drop them where the descriptor takes no more."""
        if self.problem is None:
            try:
                return super().write(content) or 0  # type: ignore[arg-type]  # bytes, as BufferedWriter hands them over
            except OSError as error:
                self.problem = error
        return len(content)  # type: ignore[arg-type]  # likewise


class Streams:
    """Standard output and standard error of a process of our own, made to last.

    A descriptor that is closed is opened on the null device first: the next file to be opened would take its number,
    and whatever is printed would go into that file.
    """

    def __init__(self) -> None:
        _fill_descriptors()
        self._raw: dict[str, _Lasting] = {}
        sys.stdout = self._lasting("stdout", sys.stdout)
        sys.stderr = self._lasting("stderr", sys.stderr)

    @property
    def lost_output(self) -> OSError | None:
        """Why standard output is incomplete; None if it is complete."""
        return self._raw["stdout"].problem

    def flush(self) -> None:
        """Write what waits."""
        sys.stdout.flush()
        sys.stderr.flush()

    def _lasting(self, name: str, stream: TextIO | None) -> TextIO:
        number = 1 if name == "stdout" else 2
        self._raw[name] = raw = _Lasting(number, "w", closefd=False)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        errors = getattr(stream, "errors", None) or "backslashreplace"
        is_live = name == "stderr" or raw.isatty()
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=is_live)


def _fill_descriptors() -> None:
    """Open those of the three standard descriptors that are closed on the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    while null <= 2:
        os.set_inheritable(null, True)
        null = os.open(os.devnull, os.O_RDWR)
    os.close(null)
