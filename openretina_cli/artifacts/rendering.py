"""Draws the pictures of many runs beside their optimisation, in processes of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

from openretina_cli.artifacts.drawing_process import Feeder, Job, NoProcessError, Outcome, draw, new_composer
from openretina_cli.artifacts.pictures import Pictures, write_pictures
from openretina_cli.artifacts.view import RunView

if TYPE_CHECKING:
    from openretina_cli.artifacts.figure import Composer

__all__ = ["Pictures", "Renderer", "write_pictures"]

log = logging.getLogger(__name__)

Done = Callable[[BaseException | None], None]

MOST_PROCESSES = 8
"""By default, on machines with many cores; each takes about 150 MB, and draws ten runs a second."""

LIMIT = 64
"""Runs that wait to be drawn; a published stimulus takes 115 kB."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Renderer:
    """Draws pictures while the caller goes on; a context that waits for the last one.

    What came of a run is told in the caller's thread, while it is in `submit`, `collect` or `drain`. Where no process
    can be started, pictures are drawn in the caller's process.

    Args:
        workers: processes that draw, started when they are needed; 0 draws at once, in the caller's process; None
            takes one per core, at most 8.
        limit: runs that may wait before `submit` does.
    """

    def __init__(self, workers: int | None = None, limit: int = LIMIT) -> None:
        self._workers = min(available_cores(), MOST_PROCESSES) if workers is None else workers
        self._limit = limit
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[Job, Outcome]] = SimpleQueue()
        self._feeders: list[Feeder] = []
        self._open: dict[int, Done] = {}
        self._count = 0
        self._composer: Composer | None = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended_well = False
        try:
            if error is None:
                self.drain()
                ended_well = True
        finally:
            self._stop()
            if not ended_well:
                self._collect_quietly()

    def start(self, runs: int) -> None:
        """Start processes for as many runs, which are ready when the first is submitted; not needed otherwise."""
        while len(self._feeders) < min(self._workers, runs):
            self._feeders.append(Feeder(self._jobs, self._outcomes))
            self._feeders[-1].start()

    def submit(self, view: RunView, pictures: Pictures, folder: Path, done: Done) -> None:
        """Have the pictures of a run drawn; waits while too many others do.

        Args:
            view: the run.
            pictures: which are wanted.
            folder: where to write them; it must exist.
            done: is called with None, or with the error, once they are drawn; what it raises comes out here, or from
                `collect` or `drain`.
        """
        self._count += 1
        job = Job(self._count, view, pictures, folder)
        self._open[job.number] = done
        if self._workers == 0:
            self._draw_here(job)
            return
        self._jobs.put(job)
        self.start(len(self._open))
        self.collect()
        while self._jobs.qsize() > self._limit:
            self._tell(*self._outcomes.get())

    def collect(self) -> None:
        """Tell what came of the runs that have been drawn; does not wait."""
        while self._open:
            try:
                outcome = self._outcomes.get_nowait()
            except Empty:
                return
            self._tell(*outcome)

    def drain(self) -> None:
        """Wait until all runs have been drawn, and tell what came of them."""
        while self._open:
            self._tell(*self._outcomes.get())

    def _tell(self, job: Job, outcome: Outcome) -> None:
        if isinstance(outcome, NoProcessError):
            self._go_on_alone(job, outcome)
        else:
            self._open.pop(job.number)(None if outcome is None else outcome.error)

    def _go_on_alone(self, job: Job, reason: NoProcessError) -> None:
        """Draw what waits in this process, as no other can be started."""
        if self._workers:
            log.warning("pictures are drawn without processes of their own: %s", reason)
        self._workers = 0
        self._outcomes.put((job, self._drawn_here(job)))
        while (waiting := self._next()) is not None:
            self._outcomes.put((waiting, self._drawn_here(waiting)))

    def _draw_here(self, job: Job) -> None:
        self._tell(job, self._drawn_here(job))

    def _drawn_here(self, job: Job) -> Outcome:
        self._composer = self._composer or new_composer(job.pictures)
        return draw(job, self._composer)

    def _next(self) -> Job | None:
        try:
            return self._jobs.get_nowait()
        except Empty:
            return None

    def _stop(self) -> None:
        """Take back what waits, of which nothing is told, and end the processes once they have drawn what they have."""
        while (job := self._next()) is not None:
            del self._open[job.number]
        for _ in self._feeders:
            self._jobs.put(None)
        for feeder in self._feeders:
            feeder.join()
        self._feeders.clear()

    def _collect_quietly(self) -> None:
        """Tell what has been drawn while an error is on its way, which no other error may hide."""
        while self._open:
            try:
                self.collect()
                return
            except Exception as error:
                log.warning("%s", error)
