"""Asks Slurm for the states of tasks, their end, and new ones. Accounting, which many clusters lack, is not asked."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.errors import RunError, SettingError
from openretina_cli.run.launcher import Slurm
from openretina_cli.run.plan import Group

if TYPE_CHECKING:  # not everybody has it
    from submitit import SlurmExecutor

OVER = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)
"""States that a task does not leave by itself; a task in any other may still finish its runs."""
WAITING = ("CONFIGURING", "PENDING")
"""States of a task that has not begun."""
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
        raise _silent(said) from error
    return answer.stdout


def _silent(said: str) -> RunError:
    return RunError(f"Slurm does not answer: {said}", repair="the same command once sinfo answers again")


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


def check_programs() -> None:
    """Find out before anything is written whether tasks can be submitted from here.

    Raises:
        SettingError: Slurm or submitit is not there.
    """
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        raise SettingError(
            f"hydra/launcher=slurm needs {missing[0]}, which is not on this machine",
            expected="a login node of a Slurm cluster",
            repair="hydra/launcher=batched",
        )
    try:
        import submitit  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise SettingError("hydra/launcher=slurm needs submitit", repair="pip install submitit") from error


def submit(
    work: Callable[[Path, Group, int], None],
    parts: Sequence[Group],
    directory: Path,
    place: Path,
    name: str,
    options: Slurm,
) -> None:
    """Submit each part of a sweep as a task of one array; submitit writes and calls what sbatch needs.

    Args:
        work: what each task does.
        parts: the runs of each task.
        directory: the sweep's folder.
        place: folder for scripts and logs.
        name: of the array.
        options: what to ask for.

    Raises:
        SettingError: Slurm refuses.
        RunError: Slurm does not answer.
    """
    workers = options.cpus_per_task if options.workers is None else options.workers
    try:
        with redirect_stderr(io.StringIO()):  # submitit prints what it raises
            count = len(parts)
            _executor(place, name, options).map_array(work, [directory] * count, parts, [workers] * count)
    except RuntimeError as error:  # submitit's FailedJobError, which carries sbatch's own words
        raise _refusal(str(error)) from error


def _executor(place: Path, name: str, options: Slurm) -> SlurmExecutor:
    import submitit

    executor = submitit.SlurmExecutor(folder=place, max_num_timeout=0)
    optional = {key: getattr(options, key) for key in ("partition", "account", "qos", "gpus_per_node")}
    executor.update_parameters(
        job_name=name,
        time=options.time_min,
        mem=f"{round(options.mem_gb * 1024)}MB",
        cpus_per_task=options.cpus_per_task,
        array_parallelism=options.array_parallelism,
        setup=["export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}", *options.setup],
        additional_parameters=dict(options.additional or {}),
        use_srun=False,  # a step of its own gains nothing, and since Slurm 22.05 does not inherit cpus_per_task
        signal_delay_s=0,  # a late task has nothing to save: its finished runs are in their folders
        stderr_to_stdout=True,
        wckey=None,  # submitit's own would be refused where keys are tracked
        **{key: value for key, value in optional.items() if value is not None},
    )
    return executor


def _refusal(words: str) -> SettingError | RunError:
    said = words.strip().partition("\n")[0].removeprefix("sbatch: error: ")
    if "contact" in words or "timed out" in words or "connect" in words:
        return _silent(said)
    return SettingError(f"Slurm takes no such task: {said}", expected="hydra.launcher settings that this cluster has")
