"""What a person sees in the terminal; the only place that prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from openretina_cli.text import LONGEST_ERROR, one_line, printable

if TYPE_CHECKING:  # the terminal must not wait for torch
    from openretina_cli.models.facts import ModelFacts
    from openretina_cli.optimization.stopper import Step

PLAIN_WIDTH = 100
"""Columns of plain output, where there is no terminal to ask."""


class SafeConsole(Console):
    """A console that shows text as it is: no markup, no emoji codes, and no control characters but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Renders as rich does, with every text made printable; rich's own codes are segments of another kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def make_console() -> Console:
    """A console on standard output; plain and of fixed width where that is no terminal."""
    console = SafeConsole()
    return console if console.is_terminal else SafeConsole(width=PLAIN_WIDTH, color_system=None)


def print_error(message: str) -> None:
    """Prints one line of bounded length on standard error."""
    line = one_line(message, LONGEST_ERROR)
    SafeConsole(stderr=True, soft_wrap=True).print(Text.assemble(("openretina: error: ", "bold red"), line))


class RunConsole:
    """Shows a run: one line of what it optimises, a live bar, a closing table. Plain lines where there is no terminal.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._iterations = 0
        self._file = ""

    @contextmanager
    def live(self) -> Iterator[RunConsole]:
        """Keep the terminal tidy, whatever happens in the block."""
        try:
            yield self
        finally:
            self._stop()

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Show how a download goes on."""
        description = f"downloading {one_line(file, 200)} ({index + 1} of {count})"
        if not self.console.is_terminal:
            if file != self._file:
                self.console.print(description)
            self._file = file
            return
        if self._progress is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(30), DownloadColumn())
            self._start(Progress(*columns, console=self.console), total)
        self._update(description, done, total)

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """Print what is optimised, and start the bar."""
        self._stop()
        self._iterations = iterations
        title = titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"
        self.console.print(Text.assemble(("optimizing ", "bold"), one_line(title), (f"  [{device}]", "dim")))
        if facts.note:
            self.console.print(Text(one_line(facts.note), style="yellow"))
        if self.console.is_terminal:
            columns = (TextColumn("iteration"), MofNCompleteColumn(), BarColumn(30), TimeElapsedColumn())
            bar = Progress(
                *columns, TextColumn("{task.description}", markup=False), console=self.console, transient=True
            )
            self._start(bar, iterations)

    def step(self, run: int, step: Step) -> None:
        """Move the bar."""
        if run == 0 and self._progress is not None:
            text = f"objective {step.objective:.4g}, norm {step.stimulus_norm:.3g}"
            self._update(text, step.iteration, self._iterations)

    def write(self) -> None:
        """Say that files are being written."""
        if self._progress is not None:
            self._update("writing files", self._iterations, self._iterations)

    def finish(self, result: Mapping[str, Any], folder: Path) -> None:
        """Print what came out."""
        self._stop()
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in result_rows(result):
            table.add_row(Text(name, style="dim"), Text(one_line(value)))
        for warning in result["warnings"]:
            table.add_row(Text("warning", style="yellow"), Text(one_line(warning)))
        table.add_row(Text("folder", style="dim"), Text(str(folder), overflow="fold", style="bold"))
        self.console.print(table)

    def _start(self, progress: Progress, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)
        progress.start()

    def _update(self, description: str, completed: float, total: float | None) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=description, completed=completed, total=total)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None


def result_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of a run's closing table."""
    objective, stimulus = result["objective"], result["stimulus"]
    ranges = ", ".join(f"{channel} {low:.3g} to {high:.3g}" for channel, (low, high) in stimulus["range"].items())
    return [
        ("objective", f"{objective['initial']:.4g} before, {objective['final']:.4g} after"),
        ("stopped by", f"{result['stop_reason']}, after {result['iterations']} iterations"),
        ("norm", f"{stimulus['norm']:.4g}"),
        ("range", ranges),
        ("time", f"{result['wall_time_s']:.2f} s on {result['device']}"),
    ]
