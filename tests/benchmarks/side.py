"""One side of the benchmark as a process that stays warm: it is asked and answers in JSON, a line each, over pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from problem import THREADS

HERE = Path(__file__).parent
ENVIRONMENT = {
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "OPENBLAS_NUM_THREADS": "1",  # numpy's, whose matrices are tiny on both sides
    "MPLBACKEND": "Agg",
}

Handler = Callable[..., Any]


class SideError(Exception):
    """A side could not do what it was asked."""


class Side:
    """The driver's end of the pipes.

    Args:
        python: the interpreter of the side's environment.
        script: the side's script, in this folder if it names no other.
        log: where its standard error goes, and what the packages in it print.
        variables: environment variables of its own.
    """

    def __init__(self, python: Path, script: str, log: Path, **variables: str) -> None:
        self.name = script
        self.log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), str(HERE / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT, **variables},
            )

    def ask(self, what: str, **arguments: Any) -> Any:
        """Have something done, and wait for the answer.

        Raises:
            SideError: it failed there, or the process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": "the process ended"}
        if "error" in reply:
            raise SideError(f"{self.name}: {what}: {reply['error']} (see {self.log})")
        return reply["answer"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def serve(handlers: Mapping[str, Handler]) -> None:
    """A side's end of the pipes: answer until the driver hangs up."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # packages print what they like; the pipe is for answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"answer": handlers[request["what"]](**request["arguments"])}
        except Exception as error:  # told to the driver, which decides
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
