"""Waits for runs on a cluster: their folders say what came of them, the queue what became of their tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from openretina_cli.config.template import Job
from openretina_cli.errors import RunError
from openretina_cli.run import slurm_queue
from openretina_cli.run.failure import write_failure
from openretina_cli.run.plan import Group
from openretina_cli.run.slurm_queue import State, Task
from openretina_cli.run.slurm_record import Claim, outcome

MOST_S = 2.0
"""Seconds between two looks at the folders, which cost less than a look at the queue."""
WAITING = ("CONFIGURING", "PENDING")
"""States of a task that has not begun."""


@dataclass(frozen=True)
class Awaited:
    """A run that a task is to make.

    Attributes:
        job: the run.
        group: to which it belongs.
        task: that is to make it.
        claim: what its folder held before.
    """

    job: Job
    group: Group
    task: Task
    claim: Claim


class Watch:
    """Waits until every run is finished, failed, or lost with its task.

    Args:
        awaited: the runs, by folder.
        poll: seconds between two looks at the queue.
    """

    def __init__(self, awaited: Mapping[Path, Awaited], poll: float) -> None:
        self._open = dict(awaited)
        self._poll = poll
        self._states: dict[Task, State] = {}
        self._last: dict[Task, State] = {}
        """How ended tasks were last seen; a task that Slurm forgets meanwhile keeps its number and reason."""
        self._ended: set[Task] = set()
        self._asked = float("-inf")

    @property
    def names(self) -> set[str]:
        """The arrays that runs are still awaited from."""
        return {awaited.task.name for awaited in self._open.values()}

    def outcomes(self) -> Iterator[tuple[Awaited, str]]:
        """Wait; yields each run with why it failed, or with nothing where it is finished."""
        while self._open:
            lost = self._look_at_queue() if time.monotonic() - self._asked >= self._poll else set()
            yield from self._look_at_folders()
            yield from self._give_up(lost)
            if self._open:
                time.sleep(min(MOST_S, self._poll))

    def _look_at_queue(self) -> set[Task]:
        """The tasks that were over at this look and at the one before; files of theirs are not late any more."""
        tasks = {awaited.task for awaited in self._open.values()}
        with suppress(RunError):  # it is asked again later: the tasks go on without the controller
            self._states = slurm_queue.states(self.names)
            over = {task for task in tasks if self._states.get(task, State()).is_over}
            self._last |= {task: state for task, state in self._states.items() if task in tasks}
            lost, self._ended = over & self._ended, over
            self._asked = time.monotonic()
            return lost
        self._asked = time.monotonic()
        return set()

    def _look_at_folders(self) -> Iterator[tuple[Awaited, str]]:
        listed: dict[Path, set[str]] = {}  # one question for all runs, as nearly all folders are not there yet
        for folder, awaited in list(self._open.items()):
            if self._states.get(awaited.task, State()).name in WAITING:
                continue
            if folder.parent not in listed:
                listed[folder.parent] = _names(folder.parent)
            if folder.name in listed[folder.parent] and (told := outcome(awaited.claim, folder)) is not None:
                del self._open[folder]
                yield awaited, told

    def _give_up(self, lost: set[Task]) -> Iterator[tuple[Awaited, str]]:
        for folder, awaited in list(self._open.items()):
            if awaited.task in lost:
                del self._open[folder]
                state = self._last.get(awaited.task, State())
                task = f"task {state.job}" if state.job else "its task"
                reason = f"{task} ended before it: {state.name.lower().replace('_', ' ')}"
                _write_loss(awaited, reason)
                yield awaited, f"{reason}; the same command submits it again"


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:  # not there yet
        return set()


def _write_loss(awaited: Awaited, reason: str) -> None:
    """Leave a record in the folder of a run whose task could not leave one, so that the summary has it."""
    with suppress(OSError):  # the console names the reason all the same
        awaited.job.folder.mkdir(parents=True, exist_ok=True)
        write_failure(awaited.group.template.settings(awaited.job), reason, awaited.job.folder)
