"""Standard output and error in any encoding: what an encoding cannot show is replaced."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from openretina_cli.text import printable

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
