"""A process that draws pictures: the parent's side, and what the process itself does.

The process is a fresh interpreter that imports only what draws: never the user's script, never torch, which is why it
is no process of `concurrent.futures`: those import the main script again, outlive a parent that is killed, and break
their whole pool when one of them is lost. Jobs and answers go through standard input and output; when the parent is
gone, however it went, the input ends, and so does the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO, Any

from openretina_cli.output.base import Wanted
from openretina_cli.output.drawing.draw import Drawn, draw_pictures
from openretina_cli.output.view import RunView
from openretina_cli.store.pipe import BROKEN, receive, send

NICENESS = 10
"""Optimisation comes first; pictures take what it leaves of the processor."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""The decompositions are tiny; threads would only spin, in every process as many as there are cores."""

READY = "ready"


class NoProcessError(Exception):
    """No process could be started that draws."""


class LostProcessError(Exception):
    """The process ended while it drew."""


class DrawingProcess:
    """The parent's side of a process that draws.

    Raises:
        NoProcessError: the process could not be started.
    """

    def __init__(self) -> None:
        path = [*sys.path, os.getcwd()]  # where classes of the user's own are found
        code = f"import sys; sys.path[:] = {path!r}; from {__name__} import serve; serve()"
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and code
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NoProcessError(error.strerror or str(error)) from error
        try:
            receive(self._pipe(self._process.stdout))
        except BROKEN as error:
            self.close()
            raise NoProcessError(f"it ended with code {self._process.returncode}") from error

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def draw(self, view: RunView, wanted: Wanted) -> Drawn:
        """Have the pictures of a run drawn, and wait for them.

        Raises:
            LostProcessError: the process ended meanwhile.
        """
        try:
            send((view, wanted), self._pipe(self._process.stdin))
            answer: Drawn = receive(self._pipe(self._process.stdout))
        except BROKEN as error:
            self.close()
            raise LostProcessError(f"the process that drew it was ended (code {self._process.returncode})") from error
        return answer

    def close(self) -> None:
        """End the process, and wait until it has ended."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, EOFError):  # what was not sent cannot be flushed any more
                self._pipe(pipe).close()
        self._process.wait()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise EOFError
        return pipe


def _prepare() -> None:
    """Import what draws while the first job is still on its way; what is missing is reported with the job."""
    with suppress(Exception):
        import av  # noqa: F401
    with suppress(Exception):
        from openretina_cli.output.composition.composer import import_matplotlib

        import_matplotlib()


def serve() -> None:
    """Draw what comes through standard input until it ends; answers go to what was standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come among the answers
    kept: dict[str, Any] = {}
    answer: Any = READY
    while True:
        send(answer, answers)
        if answer == READY:
            _prepare()
        try:
            view, wanted = receive(sys.stdin.buffer)
        except EOFError:
            return
        answer = draw_pictures(view, wanted, kept)
