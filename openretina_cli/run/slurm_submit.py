"""Hands the runs of a sweep to Slurm, as tasks of job arrays; submitit writes and calls what sbatch needs."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.errors import ArtifactError, RunError, SettingError
from openretina_cli.run.launcher import Slurm
from openretina_cli.run.plan import Group
from openretina_cli.run.slurm_queue import Task
from openretina_cli.run.slurm_record import PLACE, new_record, write_record
from openretina_cli.run.slurm_watch import Awaited

if TYPE_CHECKING:  # not everybody has it
    from submitit import SlurmExecutor

MOST_TASKS = 1000
"""Tasks of one array; Slurm's own limit (MaxArraySize) is 1001 unless a cluster says otherwise."""


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


@contextmanager
def writable(directory: Path) -> Iterator[None]:
    """Raise an error of the disk as an error about the sweep's folder.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        problem = f"out={directory} cannot be written: {error.strerror or error}"
        raise ArtifactError(problem, repair="out=FOLDER") from error


def submit(parts: Sequence[Group], directory: Path, options: Slurm) -> dict[Path, Awaited]:
    """Submit each part as a task; arrays are written down before Slurm hears of them.

    Args:
        parts: the runs.
        directory: the sweep's folder.
        options: what to ask for.

    Returns:
        The runs, by folder.

    Raises:
        SettingError: Slurm refuses.
        RunError: Slurm does not answer.
        ArtifactError: the folder cannot be written.
    """
    awaited: dict[Path, Awaited] = {}
    for start in range(0, len(parts), MOST_TASKS):
        awaited |= _submit_array(parts[start : start + MOST_TASKS], directory, options)
    return awaited


def _submit_array(parts: Sequence[Group], directory: Path, options: Slurm) -> dict[Path, Awaited]:
    record = new_record([part.jobs for part in parts], directory)
    with writable(directory):
        path = write_record(record, directory)
        try:
            _call_sbatch(parts, directory, record.name, options)
        except SettingError:  # there is no such array
            path.unlink(missing_ok=True)
            raise
    return {
        job.folder: Awaited(job, part, Task(record.name, index), claim)
        for index, (part, claims) in enumerate(zip(parts, record.tasks, strict=True))
        for job, claim in zip(part.jobs, claims, strict=True)
    }


def _call_sbatch(parts: Sequence[Group], directory: Path, name: str, options: Slurm) -> None:
    from openretina_cli.run.slurm_task import Part, work  # torch, only where there is something to submit

    workers = options.cpus_per_task if options.workers is None else options.workers
    tasks = [Part(directory, part, workers) for part in parts]
    try:
        with redirect_stderr(io.StringIO()):  # submitit prints what it raises
            _executor(directory, name, options).map_array(work, tasks)
    except RuntimeError as error:  # submitit's FailedJobError, which carries sbatch's own words
        raise _refusal(str(error)) from error


def _executor(directory: Path, name: str, options: Slurm) -> SlurmExecutor:
    import submitit

    executor = submitit.SlurmExecutor(folder=directory / PLACE, max_num_timeout=0)
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
        return RunError(f"Slurm does not answer: {said}", repair="the same command once sinfo answers again")
    return SettingError(f"Slurm takes no such task: {said}", expected="hydra.launcher settings that this cluster has")
