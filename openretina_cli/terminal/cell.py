"""A progress bar in the output of a notebook's cell, as HTML; rich's own needs ipywidgets."""

from __future__ import annotations

import html
import time
from importlib import import_module
from typing import Any

from openretina_cli.text import one_line

PAUSE = 0.1
"""Seconds between two updates at least; each is a message to the browser."""


class Cell:
    """Shows one bar at a time below the cell that runs, and nothing when it is cleared."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._due = 0.0

    def show(self, title: str, done: float, total: float | None, note: str) -> None:
        """Show a count, unless the last one was shown a moment ago."""
        if (now := time.monotonic()) < self._due and done != total:
            return
        self._due = now + PAUSE
        known = "" if total is None else f' max="{total:g}" value="{done:g}"'
        count = f"{done:g}" if total is None else f"{done:g} of {total:g}"
        text = html.escape(" ".join(one_line(part) for part in (title, count, note) if part))
        self._draw(f"<label>{text} <progress{known}></progress></label>")

    def clear(self) -> None:
        """Take the bar away."""
        if self._shown is not None:
            self._draw("")

    def _draw(self, content: str) -> None:
        display: Any = import_module("IPython.display")  # there, where a notebook runs
        if self._shown is None:
            self._shown = display.display(display.HTML(content), display_id=True)
        else:
            self._shown.update(display.HTML(content))
