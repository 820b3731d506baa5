"""What a person sees of a run: what it optimises, a live bar, a closing table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from openretina_cli.store.starts import remark_of
from openretina_cli.terminal.console import SafeConsole
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.tables import facts_table
from openretina_cli.text import one_line

if TYPE_CHECKING:  # the terminal must not wait for torch
    from openretina_cli.config.template import Job
    from openretina_cli.models.facts import ModelFacts
    from openretina_cli.stopper import Step


LONGEST_FILE = 200
"""Characters of a file's name in a line of progress."""


class RunConsole:
    """Shows a run: one line of what it optimises, a live bar, a closing table. Plain lines where there is no terminal.

    Args:
        console: where to show it.
    """

    def __init__(self, console: SafeConsole) -> None:
        self.console = console
        self._bar: Bar | None = None
        self._iterations = 0
        self._file = ""

    @contextmanager
    def live(self) -> Iterator[RunConsole]:
        """Takes the bar away at the end, whatever happens in the block."""
        try:
            yield self
        finally:
            self._stop()

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Shows how a download goes on."""
        title = f"downloading {one_line(file, LONGEST_FILE)} ({index + 1} of {count})"
        if not self.console.is_terminal and file != self._file:
            self.console.print(title)
        self._file = file
        if self._bar is None:
            self._bar = Bar(self.console, title, total, unit="bytes")
        self._bar.move(done, total, title)

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """Prints what is optimised, and starts the bar."""
        self._stop()
        self._iterations = iterations
        title = titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"
        self.console.print(Text.assemble(("optimizing ", "bold"), one_line(title), (f"  [{device}]", "dim")))
        print_note(facts, self.console)
        self._bar = Bar(self.console, "iteration", iterations)

    def step(self, run: int, step: Step) -> None:
        """Moves the bar."""
        if run == 0 and self._bar is not None:
            note = f"objective {step.objective:.4g}, norm {step.stimulus_norm:.3g}"
            self._bar.move(step.iteration, note=note)

    def write(self) -> None:
        """Says that files are being written."""
        if self._bar is not None:
            self._bar.move(self._iterations, note="writing files")

    def unchanged(self) -> None:
        """Says that a run is not made again."""
        self.console.print("this run is finished already; overwrite=true makes it again")

    def finished(self, job: Job) -> None:
        """The closing table follows."""

    def failed(self, job: Job, reason: str) -> None:
        """The error of the command says so."""

    def warned(self, job: Job, reason: str) -> None:
        """The closing table says so."""

    def finish(self, result: Mapping[str, Any], folder: Path) -> None:
        """Prints what came out."""
        self._stop()
        warnings = [("warning", str(warning)) for warning in result["warnings"]]
        self.console.print(facts_table([*result_rows(result), *warnings, ("folder", str(folder))]))

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None


def print_note(facts: ModelFacts, console: SafeConsole) -> None:
    """Prints what a reader must know of a model."""
    if facts.note:
        console.print(one_line(facts.note), style="yellow")


def result_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of a run's closing table."""
    objective, stimulus = result["objective"], result["stimulus"]
    ranges = ", ".join(f"{channel} {low:.3g} to {high:.3g}" for channel, (low, high) in stimulus["range"].items())
    remark = remark_of(result)
    return [
        ("objective", f"{objective['initial']:.4g} before, {objective['final']:.4g} after"),
        ("stopped by", f"{result['stop_reason']}, after {result['iterations']} iterations"),
        *([("starts", remark)] if remark else []),
        ("norm", f"{stimulus['norm']:.4g}"),
        ("range", f"{ranges} s.d." if ranges else ""),
        ("time", f"{result['wall_time_s']:.2f} s on {result['device']}"),
    ]
