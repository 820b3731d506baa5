"""A process that draws pictures: the thread that feeds it, and what it does itself.

It is a fresh interpreter that imports only what draws: never the script that the user runs, never torch. Jobs and
answers go through its standard input and output; when the parent is gone, however it went, its input ends, and so
does it.
"""

from __future__ import annotations

import importlib
import os
import pickle  # between two processes of one user and one program; no file is read
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from openretina_cli.artifacts.pictures import Pictures, write_pictures
from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import ArtifactError, OpenRetinaError

if TYPE_CHECKING:
    from openretina_cli.artifacts.figure import Composer

NICENESS = 10
"""Optimisation comes first; pictures take what it leaves of the processor."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""The decompositions are tiny; threads would only spin, in every process as many as there are cores."""

READY = "ready"


@dataclass(frozen=True)
class Job:
    """Pictures to be drawn.

    Attributes:
        number: tells jobs apart.
        view: the run.
        pictures: which are wanted.
        folder: where to write them.
    """

    number: int
    view: RunView
    pictures: Pictures
    folder: Path


@dataclass(frozen=True)
class Failure:
    """An error in plain values, which come through a pipe whole.

    Attributes:
        problem: what is wrong.
        expected: what would have been right.
        repair: what mends it.
        errno: the number of the operating system's error behind it, or None.
        strerror: the text of it.
    """

    problem: str
    expected: str = ""
    repair: str = ""
    errno: int | None = None
    strerror: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """An error that drawing raised."""
        system = error if isinstance(error, OSError) else error.__cause__
        number, text = (system.errno, system.strerror) if isinstance(system, OSError) else (None, "")
        if isinstance(error, OpenRetinaError):
            return cls(error.problem, error.expected, error.repair, number, text or "")
        return cls(f"the pictures could not be drawn: {type(error).__name__}: {error}", "", "", number, text or "")

    @property
    def error(self) -> ArtifactError:
        """The error again, with the operating system's as its cause."""
        error = ArtifactError(self.problem, expected=self.expected, repair=self.repair)
        if self.errno is not None:
            error.__cause__ = OSError(self.errno, self.strerror)
        return error


class NoProcessError(Exception):
    """No process could be started that draws."""


Outcome = Failure | NoProcessError | None


def draw(job: Job, composer: Composer | None) -> Failure | None:
    """Draw the pictures of a job in this process, and say what went wrong."""
    try:
        write_pictures(job.view, job.pictures, job.folder, composer)
    except Exception as error:  # one picture that cannot be drawn must not end the others
        return Failure.of(error)
    return None


def new_composer(pictures: Pictures) -> Composer | None:
    """A composer, if a figure is wanted: matplotlib is not imported for a video."""
    if not pictures.figure:
        return None
    from openretina_cli.artifacts.figure import Composer

    return Composer()


class DrawingProcess:
    """The parent's side of a process that draws.

    Raises:
        NoProcessError: it could not be started.
    """

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and code
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NoProcessError(error.strerror or str(error)) from error
        try:
            self._receive()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.close()
            raise NoProcessError(f"it ended with code {self._process.returncode}") from error

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def draw(self, job: Job) -> Failure | None:
        """Have a job drawn, and wait for it."""
        content = pickle.dumps(job)
        try:
            stream = self._pipe(self._process.stdin)
            stream.write(content)
            stream.flush()
            answer: Failure | None = self._receive()
        except (EOFError, OSError, pickle.UnpicklingError):
            self.close()
            return Failure(f"the process that drew {job.folder} was ended (code {self._process.returncode})")
        return answer

    def close(self) -> None:
        """End it, and wait until it has."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                self._pipe(pipe).close()
            except OSError:  # what was not sent cannot be flushed any more
                continue
        self._process.wait()

    def _receive(self) -> Any:
        return pickle.load(self._pipe(self._process.stdout))  # noqa: S301  # written by our own code

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise EOFError
        return pipe


class Feeder(threading.Thread):
    """Hands jobs to one process, which it starts at the first one, and anew after it died.

    Args:
        jobs: where it takes jobs; None ends it.
        outcomes: where it puts them, with what came of them.
    """

    def __init__(self, jobs: SimpleQueue[Job | None], outcomes: SimpleQueue[tuple[Job, Outcome]]) -> None:
        super().__init__(daemon=True)  # a program that ends in a hurry does not wait for pictures
        self._jobs, self._outcomes = jobs, outcomes
        self._process: DrawingProcess | None = None

    def run(self) -> None:
        """Work until there is nothing to do; the process starts while the first job is still on its way."""
        with suppress(NoProcessError):  # told with the first job
            self._process = DrawingProcess()
        while (job := self._jobs.get()) is not None:
            self._outcomes.put((job, self._draw(job)))
        if self._process is not None:
            self._process.close()

    def _draw(self, job: Job) -> Outcome:
        try:
            if self._process is not None and not self._process.is_alive:
                self._process.close()
                self._process = None
            self._process = self._process or DrawingProcess()
            return self._process.draw(job)
        except NoProcessError as error:
            return error
        except Exception as error:  # a job without an outcome would be waited for without end
            return Failure.of(error)


def _prepare() -> None:
    """Import what draws while the first job is still on its way; what is missing is told with the job."""
    for name in ("av", "matplotlib.style", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        with suppress(ImportError):
            importlib.import_module(name)


def serve() -> None:
    """Draw what comes through standard input until it ends; answers go to what was standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come among the answers
    composer: Composer | None = None
    answer: Any = READY
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        if answer == READY:
            _prepare()
        try:
            job = pickle.load(sys.stdin.buffer)  # noqa: S301  # written by our own parent
        except EOFError:
            return
        composer = composer or new_composer(job.pictures)
        answer = draw(job, composer)
