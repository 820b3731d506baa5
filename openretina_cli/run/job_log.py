"""The log of each run of a sweep: what was said of its stack, and of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"
"""Hydra's default."""


class JobLog(logging.Handler):
    """Collects log lines: those about a stack of runs, and those about one run.

    A file per run that is opened for each line would cost more than the run, and hundreds held open hit a limit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._shared: list[str] = []
        self._own: list[str] | None = None
        self._taken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        lines = self._shared if self._own is None else self._own
        lines.append(self.format(record))

    def next(self) -> None:
        """A run is about to be planned; if runs were finished since the last, it begins a new stack."""
        if self._taken:
            self._shared.clear()
            self._taken = False

    @contextmanager
    def about_one(self) -> Iterator[list[str]]:
        """What is logged in the block is about one run; gives its lines, those of its stack first."""
        self._taken = True
        self._own = list(self._shared)
        try:
            yield self._own
        finally:
            self._own = None


@contextmanager
def collected(level: int | str) -> Iterator[JobLog]:
    """Collect what is logged in the block, from a level on; nothing goes elsewhere."""
    root, handler = logging.getLogger(), JobLog()
    handlers, before = list(root.handlers), root.level
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    try:
        yield handler
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(before)
