"""What a person sees of a sweep in the terminal: one live bar, or a line now and then where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from openretina_cli.console import RunConsole
from openretina_cli.text import one_line

if TYPE_CHECKING:  # the terminal must not wait for torch
    from openretina_cli.models.facts import ModelFacts
    from openretina_cli.optimization.stopper import Step
    from openretina_cli.report import ReportFiles
    from openretina_cli.sweep.resume import Progress as Standing
    from openretina_cli.sweep.template import Job

LINES = 10
"""Plain lines about the progress of one sweep."""
MOST_FAILURES = 5
"""Failures that are listed; the table in the folder has all."""


class _Rate(ProgressColumn):
    """Runs per second, and the time left."""

    def render(self, task: Task) -> Text:
        if not task.speed or task.remaining is None:
            return Text("")
        minutes, seconds = divmod(int(task.remaining / task.speed), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{task.speed:.3g} runs/s, {hours:d}:{minutes:02d}:{seconds:02d} left", style="cyan")


class SweepConsole:
    """Shows a sweep.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._loading = RunConsole(console)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._directory = Path()
        self._total = self._before = self._done = self._failed = 0
        self._begun = False

    @property
    def reporter(self) -> SweepConsole:
        """Hears how the runs go on."""
        return self

    @contextmanager
    def live(self) -> Iterator[SweepConsole]:
        """Keep the terminal tidy, whatever happens in the block; say how an interrupted sweep is continued."""
        try:
            with self._loading.live():
                yield self
        except BaseException:
            self._stop()
            if self._total:
                standing = f"{self._before + self._done} of {self._total} runs are finished"
                self.console.print(f"{standing}; the same command with out={self._directory} goes on", soft_wrap=True)
            raise
        finally:
            self._stop()

    def planned(self, directory: Path, standing: Standing) -> None:
        """Say what is to be done, and start the bar."""
        left = sum(len(group.jobs) for group in standing.todo)
        self._directory, self._before = directory, len(standing.finished)
        self._total = left + self._before
        parts = [f"{self._total} runs"]
        if standing.finished:
            parts.append(f"{self._before} of them finished before")
        if standing.changed:
            parts.append(f"{standing.changed} made again, as their settings changed")
        self.console.print(Text.assemble(("sweep ", "bold"), ", ".join(parts)))
        if left and self.console.is_terminal:
            columns = (BarColumn(30), MofNCompleteColumn(), _Rate(), TextColumn("{task.description}", markup=False))
            self._start(Progress(*columns, console=self.console, transient=True), self._total, self._before)

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(Text(one_line(text)), soft_wrap=True)

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Show how a download goes on."""
        self._loading.download(file, done, total, index, count)

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """Say once which model is asked, and where."""
        del titles, iterations
        if not self._begun:
            sessions = "1 session" if len(facts.sessions) == 1 else f"{len(facts.sessions)} sessions"
            self.console.print(
                Text.assemble(("model ", "bold"), f"{one_line(facts.name)}, {sessions}", (f"  [{device}]", "dim"))
            )
            if facts.note:
                self.console.print(Text(one_line(facts.note), style="yellow"))
        self._begun = True

    def step(self, run: int, step: Step) -> None:
        """A run takes a moment; the bar counts runs."""

    def write(self) -> None:
        """Likewise."""

    def finished(self, job: Job) -> None:
        """Count a finished run."""
        del job
        self._done += 1
        self._moved()

    def failed(self, job: Job, reason: str) -> None:
        """Count a failed run, and tell the first ones."""
        self._failed += 1
        if self._failed <= MOST_FAILURES:
            self.console.print(
                Text.assemble(("failed ", "red"), one_line(f"{job.folder.name}: {reason}")), soft_wrap=True
            )
        self._moved()

    def reported(self, done: int, total: int) -> None:
        """Show how the report goes on."""
        if done == 1:
            self._stop()
        if self.console.is_terminal and total >= LINES:
            if self._progress is None:
                columns = (TextColumn("report"), BarColumn(30), MofNCompleteColumn())
                self._start(Progress(*columns, console=self.console, transient=True), total, 0)
            self._update(done, "")

    def closed(self, files: ReportFiles) -> None:
        """Print what came out."""
        self._stop()
        self._total = 0  # nothing is left to go on with
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        failed = f", {self._failed} failed" if self._failed else ""
        table.add_row(Text("runs", style="dim"), Text(f"{files.runs}{failed}"))
        table.add_row(Text("table", style="dim"), Text(str(files.summary), overflow="fold"))
        table.add_row(Text("page", style="dim"), Text(str(files.page), overflow="fold"))
        table.add_row(Text("folder", style="dim"), Text(str(files.page.parent), overflow="fold", style="bold"))
        self.console.print(table)

    def _moved(self) -> None:
        left, count = self._total - self._before, self._done + self._failed
        failed = f"{self._failed} failed" if self._failed else ""
        if self._progress is not None:
            self._update(self._before + count, failed)
        elif not self.console.is_terminal and count * LINES // left > (count - 1) * LINES // left:
            self.console.print(f"{self._before + count} of {self._total} runs{', ' if failed else ''}{failed}")

    def _start(self, progress: Progress, total: int, completed: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, completed=completed)
        progress.start()

    def _update(self, completed: int, description: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed, description=description)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
