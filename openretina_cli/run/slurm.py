"""Makes the runs of a sweep on a Slurm cluster, and collects them; the command may be left and come back meanwhile.

Nothing is kept but what is on disk: the runs' own folders, and a record of each array, written before it is submitted.
The queue says which tasks still live; a result or failure that is newer than the record of its array, by the clock of
the disk, is what its task made. A task skips what is finished, and publishing refuses a second result. The same command
therefore always knows what is finished, what is on its way and what is left, however the tasks before it ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from filelock import FileLock, Timeout

from openretina_cli.config.template import Job
from openretina_cli.errors import ArtifactError, RunError, SettingError
from openretina_cli.run import slurm_queue
from openretina_cli.run.currency import Currency
from openretina_cli.run.launcher import Slurm
from openretina_cli.run.plan import Failures, Group, Progress, Sweep
from openretina_cli.run.slurm_queue import State, Task
from openretina_cli.run.slurm_watch import Awaited, Watch, written
from openretina_cli.store.aside import write_whole
from openretina_cli.store.files import read_json
from openretina_cli.store.folder import RunFolder
from openretina_cli.terminal.console import make_console
from openretina_cli.terminal.sweep import SweepConsole

PLACE = ".slurm"
"""The folder for records, scripts and logs of tasks, in the sweep's."""
LOCK = "head.lock"
NAME = "openretina-"
MOST_TASKS = 1000
"""Tasks of one array; Slurm's own limit (MaxArraySize) is 1001 unless a cluster says otherwise."""
MAX_RECORD_BYTES = 2**26
MAX_RECORD_VALUES = 2_000_000
"""Bounds of a record; a run takes about 150 bytes and 3 values."""


def launch(
    sweep: Sweep,
    groups: Sequence[Group],
    options: Slurm,
    currency: Currency,
    console: SweepConsole,
) -> Failures | None:
    """Submit what is left of a sweep, except what is on its way, and wait for it.

    Args:
        sweep: the sweep; its folder exists.
        groups: what is left of it.
        options: how to submit.
        currency: tells whether a run that was finished meanwhile is current.
        console: shows each run of `groups` once, unless it is not waited for.

    Returns:
        Why runs failed; None where the settings say that they are not waited for.

    Raises:
        SettingError: Slurm or submitit is not there, or Slurm refuses what is asked for.
        RunError: Slurm does not answer, another command is at it, or a run failed with `fail_fast`.
        ArtifactError: the folder cannot be written.
    """
    failures: Failures = {}
    later = f"the tasks go on; the same command with out={sweep.directory} collects them"
    with _alone(sweep.directory), _told(KeyboardInterrupt, later, console):  # Ctrl-C cancels nothing
        awaited = _on_their_way(sweep.directory, {job.folder: job for group in groups for job in group.jobs})
        missing = _missing(groups, awaited, currency, console)
        parts = [part for group in missing for part in _parts(group, options.group_size)]
        submitted = [
            run
            for first in range(0, len(parts), MOST_TASKS)
            for run in _submitted(parts[first : first + MOST_TASKS], sweep.directory, options)
        ]
        new = f"{_many(len(submitted), 'run')} in {_many(len(parts), 'task')}"
        console.say(f"slurm on their way already: {_many(len(awaited), 'run')}, submitted: {new}")
        awaited |= {run.job.folder: run for run in submitted}
        if awaited and not options.wait:
            console.say(later)
            return None
        _collect(awaited, options.poll_s, console, failures)
    return failures


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other commands from submitting the same runs; the lock is let go however the process ends."""
    lock = FileLock(str(directory / PLACE / LOCK))
    with RunFolder(directory).explained(ArtifactError):
        (directory / PLACE).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:  # which is an OSError
            raise RunError(
                f"another command is at work on out={directory}", repair="the same command once that has ended"
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _told(kind: type[BaseException], text: str, console: SweepConsole) -> Iterator[None]:
    try:
        yield
    except kind:
        console.say(text)
        raise


def _records(directory: Path) -> Iterator[tuple[str, int, list[list[tuple[str, str]]]]]:
    """The arrays that were submitted so far: name, when it was recorded, and of each task the runs with their keys.

    Raises:
        RunError: a record cannot be read, so that nobody knows what is on its way.
    """
    for path in sorted((directory / PLACE).glob(f"{NAME}*.json")):
        try:
            tasks = read_json(path, MAX_RECORD_BYTES, MAX_RECORD_VALUES)
            yield path.stem, written(path), [[(str(folder), str(key)) for folder, key in task] for task in tasks]
        except (ArtifactError, ValueError, TypeError) as error:
            raise RunError(
                f"{path}, which says what was submitted, cannot be read",
                repair=f"scancel --name={path.stem}, then remove that file",
            ) from error


def _on_their_way(directory: Path, wanted: Mapping[Path, Job]) -> dict[Path, Awaited]:
    """The runs that tasks of earlier commands will still make.

    Raises:
        SettingError: a task still makes a run of the sweep with other settings.
    """
    found = [
        (Awaited(wanted[directory / folder], Task(name, index), since), key)
        for name, since, tasks in _records(directory)
        for index, task in enumerate(tasks)
        for folder, key in task
        if directory / folder in wanted
    ]
    states = slurm_queue.states({run.task.name for run, _ in found})
    living = [(run, key) for run, key in found if not states.get(run.task, State()).is_over]
    for run, key in living:
        if key != run.job.key:
            raise SettingError(
                f"a task of an earlier command still makes {run.job.folder} with other settings",
                repair=f"scancel --name={run.task.name}, or another out=",
            )
    return {run.job.folder: run for run, _ in living if not run.failed}  # with a failed one, its task has done


def _missing(
    groups: Iterable[Group], awaited: Collection[Path], currency: Currency, console: SweepConsole
) -> Iterator[Group]:
    """What must be submitted; runs that were finished since the command looked are counted."""
    for group in groups:
        jobs = []
        for job in (job for job in group.jobs if job.folder not in awaited):
            result = None if job.settings.overwrite else RunFolder(job.folder).result
            if result is not None and not currency.difference(result, job.settings):
                console.finished(job)
            else:
                jobs.append(job)
        if jobs:
            yield group.only(jobs)


def _parts(group: Group, size: int | None) -> Iterator[Group]:
    step = size or len(group.jobs)
    for start in range(0, len(group.jobs), step):
        yield group.only(group.jobs[start : start + step])


def _submitted(parts: Sequence[Group], directory: Path, options: Slurm) -> Iterator[Awaited]:
    """Submit each part as a task of one array, which is written down before Slurm hears of it."""
    name = f"{NAME}{uuid.uuid4().hex[:12]}"
    tasks = [[(os.path.relpath(job.folder, directory), job.key) for job in part.jobs] for part in parts]
    path = directory / PLACE / f"{name}.json"
    with RunFolder(directory).explained(ArtifactError):
        write_whole(path.parent, {path.name: json.dumps(tasks).encode()})
        try:
            slurm_queue.submit(work, parts, directory, path.parent, name, options)
        except SettingError:  # there is no such array
            path.unlink(missing_ok=True)
            raise
    since = written(path)
    for index, part in enumerate(parts):
        yield from (Awaited(job, Task(name, index), since) for job in part.jobs)


def _collect(awaited: Mapping[Path, Awaited], poll: float, console: SweepConsole, failures: Failures) -> None:
    """Wait until every run is finished, failed, or lost with its task.

    Raises:
        RunError: a run failed with `fail_fast`.
    """
    watch = Watch(awaited, poll)
    for run, reason in watch.outcomes():
        if not reason:
            console.finished(run.job)
            continue
        failures[run.job.folder] = reason
        console.failed(run.job, reason)
        if run.job.settings.fail_fast:
            with suppress(RunError):  # the failure matters more
                slurm_queue.cancel({run.task.name for run in watch.open.values()})
            repair = "fail_fast=false to go on with the others"
            raise RunError(f"{run.job.folder.name} failed: {reason}", repair=repair)


def work(directory: Path, group: Group, workers: int) -> None:
    """Do one task on the cluster: make runs of a group that are not finished, as the launcher `batched` would.

    Runs that fail leave a record in their folders; the task's log says how the runs go on.

    Args:
        directory: the sweep's folder.
        group: the runs.
        workers: processes that draw.

    Raises:
        OpenRetinaError: the disk takes no more, or a run failed with `fail_fast`.
    """
    from openretina_cli.run.batch import batch_runner  # torch

    # submitit's own handlers would submit a late task again by themselves, which is for the head to decide
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    console = SweepConsole(make_console())
    console.planned(directory, Progress((), (group,), {}, 0))
    with batch_runner(directory, group, workers, console) as runner:
        runner.run(group.jobs)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)  # unwinds, so that what is half written goes
