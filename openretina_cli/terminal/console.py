"""The one way to a person's terminal: a console that shows text as it is, and error lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rich.console
from rich.control import Control
from rich.segment import Segment
from rich.text import Text

from openretina_cli.text import LONGEST_ERROR, one_line, printable

PLAIN_WIDTH = 100
"""Columns of plain output, where no terminal states its width."""


class SafeConsole(rich.console.Console):
    """A console that shows text as it is: no markup, no emoji codes, and no control characters but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Renders as rich does, with every text made printable; rich's own codes are segments of another kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


class BarConsole(SafeConsole):
    """A console that shows bars and no lines, for calls from Python.

    Args:
        bars: whether it shows bars.
    """

    def __init__(self, bars: bool) -> None:
        super().__init__(**({} if bars else {"force_terminal": False, "force_jupyter": False}))

    def print(self, *objects: Any, **how: Any) -> None:
        """Passes on what moves a bar, and drops lines."""
        if all(isinstance(item, Control) for item in objects):
            super().print(*objects, **how)


def make_console() -> SafeConsole:
    """A console on standard output; plain and of fixed width where that is no terminal."""
    console = SafeConsole()
    return console if console.is_terminal else SafeConsole(width=PLAIN_WIDTH, color_system=None)


def print_error(message: str) -> None:
    """Prints one line of bounded length on standard error."""
    line = one_line(message, LONGEST_ERROR)
    SafeConsole(stderr=True, soft_wrap=True).print(Text.assemble(("openretina: error: ", "bold red"), line))
