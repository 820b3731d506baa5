"""The one progress bar of all verbs; where there is no terminal, lines or nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Literal

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.text import Text

from openretina_cli.terminal.cell import Cell
from openretina_cli.terminal.console import SafeConsole
from openretina_cli.text import one_line

Unit = Literal["", "bytes", "runs"]


class _Pace(ProgressColumn):
    """Runs per second, and the time left."""

    def render(self, task: Task) -> Text:
        if not task.speed or task.remaining is None:
            return Text("")
        minutes, seconds = divmod(int(task.remaining / task.speed), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{task.speed:.3g} runs/s, {hours:d}:{minutes:02d}:{seconds:02d} left", style="cyan")


class Bar:
    """A live bar with a title, a count and a note; it is gone when it stops.

    Nothing is shown where there is neither a terminal nor a notebook.

    Args:
        console: where it is shown.
        title: what goes on.
        total: what the count leads to, or None where that is not known yet.
        done: the count at the start.
        unit: what is counted; "bytes" are shown as sizes, and "runs" with their pace and the time left.
    """

    def __init__(
        self, console: SafeConsole, title: str, total: int | None = None, done: int = 0, unit: Unit = ""
    ) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(30),
            DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
            _Pace() if unit == "runs" else Elapsed(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(one_line(title), total=total, completed=done, note="")
        self._cell = Cell() if console.is_jupyter else None
        self._progress.start()

    def move(self, done: int, total: int | None = None, title: str | None = None, note: str = "") -> None:
        """Shows another count; total and title stay unless they are given."""
        shown = None if title is None else one_line(title)
        self._progress.update(self._task, completed=done, total=total, description=shown, note=one_line(note))
        if self._cell is not None:
            task = self._progress.tasks[0]
            self._cell.show(task.description, task.completed, task.total, note)

    def stop(self) -> None:
        """Takes the bar away."""
        self._progress.stop()
        if self._cell is not None:
            self._cell.clear()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Stages:
    """A bar for the stage that goes on, of work that has several; without a terminal a line says which.

    Args:
        console: where it is shown.
    """

    def __init__(self, console: SafeConsole) -> None:
        self._console = console
        self._stage = ""
        self._bar: Bar | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows how a stage goes on."""
        if stage != self._stage:
            self.stop()
            self._stage, self._bar = stage, Bar(self._console, stage, total)
            if not self._console.is_terminal:
                self._console.print(one_line(stage))
        if self._bar is not None:
            self._bar.move(done, total)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
