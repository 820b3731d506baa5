"""Makes the runs of a sweep on a Slurm cluster, and collects them; the command may be left and come back meanwhile.

Nothing is kept but what is on disk: the runs' own folders, and a record of each array written before it is submitted.
The queue says which of its tasks still live. The same command therefore always knows what is finished, what is on its
way and what is left, however the command or the tasks before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from openretina_cli.config.template import Job
from openretina_cli.errors import RunError, SettingError
from openretina_cli.run.currency import Currency
from openretina_cli.store.folder import RunFolder
from openretina_cli.sweep import slurm_queue
from openretina_cli.sweep.failure import Failures
from openretina_cli.sweep.launcher import Slurm
from openretina_cli.sweep.plan import Group, Sweep
from openretina_cli.sweep.slurm_queue import State, Task
from openretina_cli.sweep.slurm_record import PLACE, Record, failure_stamp, read_records
from openretina_cli.sweep.slurm_submit import submit, writable
from openretina_cli.sweep.slurm_watch import Awaited, Watch

if TYPE_CHECKING:  # torch
    from openretina_cli.sweep.batch import SweepReporter

LOCK = "head.lock"

Wanted = Mapping[Path, tuple[Job, Group]]
"""Runs that are left, by folder."""


def launch(
    sweep: Sweep,
    groups: Sequence[Group],
    options: Slurm,
    currency: Currency,
    reporter: SweepReporter,
    tell: Callable[[str], None],
) -> Failures | None:
    """Submit what is left of a sweep, except what is on its way, and wait for it.

    Args:
        sweep: the sweep; its folder exists.
        groups: what is left of it.
        options: how to submit.
        currency: tells whether a run that was finished meanwhile is current.
        reporter: hears of each run of `groups` once, unless it is not waited for.
        tell: prints a line.

    Returns:
        Why runs failed; None where the settings say that they are not waited for.

    Raises:
        SettingError: Slurm or submitit is not there, or Slurm refuses what is asked for.
        RunError: Slurm does not answer, another command is at it, or a run failed with `fail_fast`.
        ArtifactError: the folder cannot be written.
    """
    failures: Failures = {}
    with _alone(sweep.directory), _left(sweep, tell):
        wanted = {job.folder: (job, group) for group in groups for job in group.jobs}
        awaited = _on_their_way(sweep.directory, wanted)
        missing = _missing(groups, awaited, currency, reporter)
        parts = [part for group in missing for part in _parts(group, options.group_size)]
        submitted = submit(parts, sweep.directory, options)
        new = f"{_many(len(submitted), 'run')} in {_many(len(parts), 'task')}"
        tell(f"slurm on their way already: {_many(len(awaited), 'run')}, submitted: {new}")
        awaited |= submitted
        if awaited and not options.wait:
            tell(_later(sweep))
            return None
        _collect(Watch(awaited, options.poll_s), sweep, reporter, failures)
    return failures


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _later(sweep: Sweep) -> str:
    return f"the tasks go on; the same command with out={sweep.directory} collects them"


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other commands from submitting the same runs; the lock is let go however the process ends."""
    lock = FileLock(str(directory / PLACE / LOCK))
    with writable(directory):
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
def _left(sweep: Sweep, tell: Callable[[str], None]) -> Iterator[None]:
    """Say what Ctrl-C leaves behind: nothing is cancelled."""
    try:
        yield
    except KeyboardInterrupt:
        tell(_later(sweep))
        raise


def _on_their_way(directory: Path, wanted: Wanted) -> dict[Path, Awaited]:
    """The runs that tasks of earlier commands will still make."""
    records = [record for record in read_records(directory) if any(_claimed(record, directory, wanted))]
    states = slurm_queue.states([record.name for record in records])
    awaited = {}
    for record in records:
        for run in _claimed(record, directory, wanted):
            if states.get(run.task, State()).is_over:
                continue
            _check_same(run)
            if failure_stamp(run.job.folder) in (None, run.claim.failure):  # else its task has done with it
                awaited[run.job.folder] = run
    return awaited


def _claimed(record: Record, directory: Path, wanted: Wanted) -> Iterator[Awaited]:
    """The runs that were submitted in an array, of those that are left."""
    for index, claims in enumerate(record.tasks):
        for claim in claims:
            if (folder := directory / claim.folder) in wanted:
                yield Awaited(*wanted[folder], Task(record.name, index), claim)


def _check_same(run: Awaited) -> None:
    if run.claim.key != run.job.key:
        raise SettingError(
            f"a task of an earlier command still makes {run.job.folder} with other settings",
            repair=f"scancel --name={run.task.name}, or another out=",
        )


def _missing(
    groups: Iterable[Group], awaited: Mapping[Path, Awaited], currency: Currency, reporter: SweepReporter
) -> Iterator[Group]:
    """What must be submitted; runs that were finished since the command looked are counted."""
    for group in groups:
        jobs = []
        for job in (job for job in group.jobs if job.folder not in awaited):
            settings, result = group.template.settings(job), RunFolder(job.folder).result
            if result is not None and not settings.overwrite and not currency.difference(result, settings):
                reporter.finished(job)
            else:
                jobs.append(job)
        if jobs:
            yield group.only(jobs)


def _parts(group: Group, size: int | None) -> Iterator[Group]:
    step = size or len(group.jobs)
    for start in range(0, len(group.jobs), step):
        yield group.only(group.jobs[start : start + step])


def _collect(watch: Watch, sweep: Sweep, reporter: SweepReporter, failures: Failures) -> None:
    for run, reason in watch.outcomes():
        if not reason:
            reporter.finished(run.job)
            continue
        failures[run.job.folder] = reason
        reporter.failed(run.job, reason)
        if sweep.settings.fail_fast:
            _stop(watch, run.job, reason)


def _stop(watch: Watch, job: Job, reason: str) -> None:
    with suppress(RunError):  # the failure matters more
        slurm_queue.cancel(watch.names)
    raise RunError(f"{job.folder.name} failed: {reason}", repair="fail_fast=false to go on with the others")
