"""Draws the pictures of many runs beside their optimisation, in processes of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from openretina_cli.output.base import Wanted
from openretina_cli.output.drawing.draw import Drawn, draw_pictures
from openretina_cli.output.drawing.process import DrawingProcess, LostProcessError, NoProcessError
from openretina_cli.output.view import RunView

log = logging.getLogger(__name__)

Done = Callable[[Drawn], None]

MOST_PROCESSES = 8
"""By default, on machines with many cores; each takes about 150 MB, and draws ten runs a second."""

LIMIT = 64
"""Runs that wait to be drawn; a published stimulus takes 115 kB."""

TRIES = 3
"""Processes that may be lost over the pictures of one run: killed by others, or by what they draw."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Renderer:
    """Draws pictures while the caller goes on; a context that waits for the last one.

    A thread per process hands runs to it; a lost process is replaced and the run drawn again. The caller learns what
    came of a run in its own thread, while it is in `submit` or `drain`. Where no process can be started, pictures are
    drawn in the caller's process.

    Args:
        workers: processes that draw, started when they are needed; 0 draws at once, in the caller's process; None
            takes one per core, at most 8.
        limit: runs that may wait before `submit` does.
    """

    def __init__(self, workers: int | None = None, limit: int = LIMIT) -> None:
        self._workers = min(available_cores(), MOST_PROCESSES) if workers is None else workers
        self._limit = limit
        self._threads = ThreadPoolExecutor(max(self._workers, 1))
        self._started = 0
        self._idle: SimpleQueue[DrawingProcess] = SimpleQueue()
        self._open: dict[Future[Drawn], tuple[RunView, Wanted, Done]] = {}
        self._kept: dict[str, Any] = {}

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:  # with an error on its way, what waits is taken back and what is drawn is handed over
            self._threads.shutdown(wait=True, cancel_futures=True)
            with suppress(Empty):
                while True:
                    self._idle.get_nowait().close()
            while self._open:
                try:
                    self._collect()
                except Exception as other:  # must not hide the first error
                    log.warning("%s", other)

    def start(self, runs: int) -> None:
        """Start processes for as many runs, which are ready when the first is submitted; not needed otherwise."""
        with suppress(RuntimeError):  # no thread can be started, which `submit` deals with
            for _ in range(self._started, min(self._workers, runs)):
                self._threads.submit(self._start_one)
                self._started += 1

    def submit(self, view: RunView, wanted: Wanted, done: Done) -> None:
        """Have the pictures of a run drawn; waits while too many others do.

        Args:
            view: the run.
            wanted: which pictures.
            done: is called with the pictures once they are drawn; what it raises comes out here, or from `drain`.
        """
        try:
            if self._workers == 0:
                raise NoProcessError
            self._open[self._threads.submit(self._drawn, view, wanted)] = view, wanted, done
        except (NoProcessError, RuntimeError):  # no thread can be started
            done(draw_pictures(view, wanted, self._kept))
        self._collect()
        self._wait(self._limit + self._workers)

    def drain(self) -> None:
        """Wait until all runs have been drawn, and hand them over."""
        self._wait(0)

    def _wait(self, most: int) -> None:
        """Hand over runs until at most so many are open."""
        while len(self._open) > most:
            wait(self._open, return_when=FIRST_COMPLETED)
            self._collect()

    def _collect(self) -> None:
        """Hand over the runs that have been drawn."""
        for future in [future for future in self._open if future.done()]:
            view, wanted, done = self._open.pop(future)
            if future.cancelled():
                continue
            try:
                drawn = future.result()
            except NoProcessError as error:
                if self._workers:
                    log.warning("pictures are drawn without processes of their own: %s", error)
                self._workers = 0
                drawn = draw_pictures(view, wanted, self._kept)
            except Exception as error:
                drawn = Drawn.none(wanted, f"{type(error).__name__}: {error}")
            done(drawn)

    # --- in the threads

    def _start_one(self) -> None:
        with suppress(NoProcessError):  # reported with the first run
            self._idle.put(DrawingProcess())

    def _drawn(self, view: RunView, wanted: Wanted) -> Drawn:
        problem = ""
        for _ in range(TRIES):
            process = self._process()
            try:
                return process.draw(view, wanted)
            except LostProcessError as error:
                problem = str(error)
            finally:
                self._idle.put(process)
        return Drawn.none(wanted, problem)

    def _process(self) -> DrawingProcess:
        """A process that waits for work, or a new one.

        Raises:
            NoProcessError: none could be started.
        """
        with suppress(Empty):
            while True:
                process = self._idle.get_nowait()
                if process.is_alive:
                    return process
                process.close()
        return DrawingProcess()
