"""What a person sees of a sweep in the terminal: one live bar, or a line now and then where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from openretina_cli.terminal.console import SafeConsole
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.run import RunConsole, print_note
from openretina_cli.terminal.tables import facts_table
from openretina_cli.text import one_line

if TYPE_CHECKING:  # the terminal must not wait for torch
    from openretina_cli.config.template import Job
    from openretina_cli.models.facts import ModelFacts
    from openretina_cli.report import ReportFiles
    from openretina_cli.run.plan import Progress as Standing
    from openretina_cli.stopper import Step

LINES = 10
"""Plain lines about the progress of one sweep."""
MOST_FAILURES = 5
"""Failures that are listed; the table in the folder has all."""


class SweepConsole:
    """Shows a sweep.

    Args:
        console: where to show it.
    """

    def __init__(self, console: SafeConsole) -> None:
        self.console = console
        self._loading = RunConsole(console)
        self._bar: Bar | None = None
        self._directory = Path()
        self._total = self._before = self._done = self._failed = 0
        self._begun = False
        self._missing: list[str] = []

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
        parts += [f"{count} made again, as {reason}" for reason, count in standing.changed.items()]
        self.console.print(Text.assemble(("sweep ", "bold"), ", ".join(parts)))
        if left:
            self._bar = Bar(self.console, "", self._total, self._before, unit="runs")

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(one_line(text), soft_wrap=True)

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
            print_note(facts, self.console)
        self._begun = True

    def step(self, run: int, step: Step) -> None:
        """A run takes a moment; the bar counts runs."""

    def write(self) -> None:
        """Files are written, which is not shown."""

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

    def warned(self, job: Job, reason: str) -> None:
        """Count a picture that is missing; the closing table gives the first reason."""
        del job
        self._missing.append(reason)

    def reported(self, done: int, total: int) -> None:
        """Show how the report goes on."""
        if done == 1:
            self._stop()
        if total >= LINES:
            self._bar = self._bar or Bar(self.console, "report", total)
            self._bar.move(done)

    def closed(self, files: ReportFiles) -> None:
        """Print what came out."""
        self._stop()
        self._total = 0  # nothing is left to go on with
        failed = f", {self._failed} failed" if self._failed else ""
        rows = [("runs", f"{files.runs}{failed}")]
        if self._missing:
            more = f" (and {len(self._missing) - 1} more)" if len(self._missing) > 1 else ""
            again = f"{self._missing[0]}{more}. Try again: openretina render {files.page.parent}"
            rows.append(("warning", again))
        rows += [("table", str(files.summary)), ("page", str(files.page)), ("folder", str(files.page.parent))]
        self.console.print(facts_table(rows))

    def _moved(self) -> None:
        left, count = self._total - self._before, self._done + self._failed
        failed = f"{self._failed} failed" if self._failed else ""
        if self._bar is not None:
            self._bar.move(self._before + count, note=failed)
        if not self.console.is_terminal and count * LINES // left > (count - 1) * LINES // left:
            self.console.print(f"{self._before + count} of {self._total} runs{', ' if failed else ''}{failed}")

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
