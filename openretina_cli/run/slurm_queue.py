"""What Slurm's queue says of the tasks of a sweep. Accounting, which many clusters lack, is not asked."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from openretina_cli.errors import RunError

OVER = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)
"""States that a task does not leave by itself; a task in any other may still finish its runs."""
FORGOTTEN = "ENDED"
"""The state of a task that Slurm no longer knows, or never got."""
PATIENCE = 60
"""Seconds for an answer; Slurm's commands give up by themselves after ten or twenty."""
AT_ONCE = 100
"""Names in one question."""


@dataclass(frozen=True)
class Task:
    """One task of one array.

    Attributes:
        name: of the array, which no other has.
        index: its place in the array.
    """

    name: str
    index: int


@dataclass(frozen=True)
class State:
    """How a task stands.

    Attributes:
        name: Slurm's word for it, such as `RUNNING`.
        job: Slurm's number for it, such as `7_0`.
    """

    name: str = FORGOTTEN
    job: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of the task."""
        return self.name in OVER or self.name == FORGOTTEN


def _ask(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603  # no shell; the words are ours
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().partition("\n")[0]
        raise RunError(f"Slurm does not answer: {said}", repair="the same command once sinfo answers again") from error
    return answer.stdout


def _some(names: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(names), AT_ONCE):
        yield ",".join(names[start : start + AT_ONCE])


def states(names: Collection[str]) -> dict[Task, State]:
    """The tasks of arrays that Slurm knows; those that are not among them are over.

    Args:
        names: of the arrays.

    Raises:
        RunError: Slurm does not answer; nothing is known of any task then.
    """
    found = {}
    for some in _some(sorted(set(names))):
        form = ("--noheader", "--all", "--array", "--states=all", "--format=%j %i %T")
        for line in _ask("squeue", *form, f"--name={some}").splitlines():
            name, job, state = line.split()
            index = job.partition("_")[2]
            found[Task(name, int(index or 0))] = State(state, job)  # a task alone is no array: its number is `7`
    return found


def cancel(names: Collection[str]) -> None:
    """End what waits or runs of some arrays.

    Raises:
        RunError: Slurm does not answer.
    """
    for name in sorted(set(names)):
        _ask("scancel", "--quiet", f"--name={name}")
