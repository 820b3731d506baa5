"""What one task on a cluster does: some runs of a group, as the launcher `batched` would, and plain lines about it."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from openretina_cli.config.template import Job, register_resolvers
from openretina_cli.models.facts import ModelFacts
from openretina_cli.run.batch import batch_runner
from openretina_cli.run.plan import Group
from openretina_cli.stopper import Step
from openretina_cli.terminal.streams import output_handler

FORMAT = "%(asctime)s %(message)s"


@dataclass(frozen=True)
class Part:
    """The work of one task.

    Attributes:
        directory: the sweep's folder.
        group: the runs.
        workers: processes that draw.
    """

    directory: Path
    group: Group
    workers: int


class TaskLog:
    """Tells how the runs go on, in the task's log.

    Args:
        total: number of runs.
    """

    def __init__(self, total: int) -> None:
        # a logger of its own: the others belong to the runs, whose logs go into their folders
        self._log = logging.Logger("task")
        handler = output_handler()
        handler.setFormatter(logging.Formatter(FORMAT))
        self._log.addHandler(handler)
        self._total, self._count = total, 0

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Tell of a download when it begins."""
        if done == 0:
            self._log.info("downloading %s (%d of %d)", file, index + 1, count)

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """Tell of a stack of runs."""
        self._log.info("%d runs on %s with %s, %d iterations", len(titles), device, facts.name, iterations)

    def step(self, run: int, step: Step) -> None:
        """Too many to tell."""

    def write(self) -> None:
        """Likewise."""

    def finished(self, job: Job) -> None:
        """Tell of a finished run."""
        self._count += 1
        self._log.info("%d of %d finished: %s", self._count, self._total, job.folder)

    def failed(self, job: Job, reason: str) -> None:
        """Tell of a failed run."""
        self._count += 1
        self._log.info("%d of %d failed: %s: %s", self._count, self._total, job.folder, reason)

    def warned(self, job: Job, reason: str) -> None:
        """Tell of a picture that is missing."""
        self._log.info("%s: %s", job.folder, reason)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)  # unwinds, so that what is half written goes


def work(part: Part) -> None:
    """Make the runs of a task that are not finished; those that fail leave a record in their folders.

    Raises:
        OpenRetinaError: the disk takes no more, or a run failed with `fail_fast`.
    """
    # submitit's own handlers would submit a late task again by themselves, which is for the head to decide
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    register_resolvers()
    with batch_runner(part.directory, part.group, part.workers, TaskLog(len(part.group.jobs))) as runner:
        runner.run(part.group)
