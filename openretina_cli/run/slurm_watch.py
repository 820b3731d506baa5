"""Waits for runs on a cluster: their folders say what came of them, the queue what became of their tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from openretina_cli.config.template import Job
from openretina_cli.errors import ArtifactError, RunError
from openretina_cli.run import slurm_queue
from openretina_cli.run.plan import write_failure
from openretina_cli.run.slurm_queue import WAITING, State, Task
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.names import FAILURE, RESULT
from openretina_cli.store.result import read_failure

MOST_S = 2.0
"""Seconds between two looks at the folders, which cost less than a look at the queue."""


@dataclass(frozen=True)
class Awaited:
    """A run that a task is to make.

    Attributes:
        job: the run.
        task: that is to make it.
        since: when the record of the array was written, in ns by the clock of the disk.
    """

    job: Job
    task: Task
    since: int

    @property
    def failed(self) -> bool:
        """Whether its task has left a failure."""
        return written(self.job.folder / FAILURE) > self.since

    @property
    def outcome(self) -> str | None:
        """Why it failed; empty if it is finished, None if nothing came of it yet."""
        if written(self.job.folder / RESULT) > self.since:
            result = RunFolder(self.job.folder).finished(self.job.key)
            if result is not None:
                return f"diverged: {result.get('failure')}" if result.get("status") == "diverged" else ""
        with suppress(ArtifactError):  # the file is being written
            return read_failure(self.job.folder).error if self.failed else None
        return None


def written(path: Path) -> int:
    """When a file was written, in ns; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


class Watch:
    """Looks at the folders of runs, and at the queue.

    Args:
        awaited: the runs, by folder.
        poll: seconds between two looks at the queue.
    """

    def __init__(self, awaited: Mapping[Path, Awaited], poll: float) -> None:
        self.open = dict(awaited)
        self._poll = poll
        self._states: dict[Task, State] = {}
        self._last: dict[Task, State] = {}
        """How ended tasks were last seen; a task that Slurm forgets meanwhile keeps its number and reason."""
        self._over: set[Task] = set()

    def outcomes(self) -> Iterator[tuple[Awaited, str]]:
        """Wait; yields each run with why it failed, or with nothing where it is finished."""
        asked = float("-inf")
        while self.open:
            lost: set[Task] = set()
            if time.monotonic() - asked >= self._poll:
                lost, asked = self._look_at_queue(), time.monotonic()
            yield from self._made()
            yield from self._lost(lost)
            if self.open:
                time.sleep(min(MOST_S, self._poll))

    def _look_at_queue(self) -> set[Task]:
        """The tasks that were over at this look and at the one before; files of theirs are not late any more."""
        tasks = {run.task for run in self.open.values()}
        with suppress(RunError):  # it is asked again later: the tasks go on without the controller
            self._states = slurm_queue.states({task.name for task in tasks})
            self._last |= {task: state for task, state in self._states.items() if task in tasks}
            before, self._over = self._over, {task for task in tasks if self._states.get(task, State()).is_over}
            return before & self._over
        return set()

    def _made(self) -> Iterator[tuple[Awaited, str]]:
        listed: dict[Path, set[str]] = {}  # one question for all runs, as nearly all folders are not there yet
        for folder, run in list(self.open.items()):
            if self._states.get(run.task, State()).name in WAITING:
                continue
            if folder.parent not in listed:
                listed[folder.parent] = _names(folder.parent)
            if folder.name in listed[folder.parent] and (outcome := run.outcome) is not None:
                del self.open[folder]
                yield run, outcome

    def _lost(self, tasks: Collection[Task]) -> Iterator[tuple[Awaited, str]]:
        """The runs of tasks that ended without them; each gets a record, so that the summary has it."""
        for folder, run in [(folder, run) for folder, run in self.open.items() if run.task in tasks]:
            del self.open[folder]
            state = self._last.get(run.task, State())
            task = f"task {state.job}" if state.job else "its task"
            reason = f"{task} ended before it: {state.name.lower().replace('_', ' ')}"
            with suppress(OSError):  # the console names the reason all the same
                folder.mkdir(parents=True, exist_ok=True)
                write_failure(run.job.settings, reason, folder)
            yield run, f"{reason}; the same command submits it again"


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:  # not there yet
        return set()
