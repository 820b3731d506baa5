"""Objects that two processes of this program send each other; no file is read, and no stranger writes into a pipe."""

from __future__ import annotations

import pickle
from typing import IO, Any

BROKEN = (EOFError, OSError, pickle.UnpicklingError)
"""Errors of a pipe whose other end is gone."""


def send(content: object, pipe: IO[bytes]) -> None:
    """Send an object.

    Raises:
        OSError: nobody reads any more.
    """
    pipe.write(pickle.dumps(content))
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Wait for the next object.

    Raises:
        EOFError: no other will come; see `BROKEN` for other errors.
    """
    return pickle.load(pipe)  # noqa: S301  # written by our own code
