"""Makes runs, one alone or those of a sweep, in this process; numbers appear first, pictures when they are drawn."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import Settings
from openretina_cli.config.template import Job
from openretina_cli.errors import ArtifactError, OpenRetinaError, RunError
from openretina_cli.output.base import Wanted
from openretina_cli.output.chosen import pictures_of, write_numbers
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.drawing.renderer import Renderer
from openretina_cli.run.job_log import JobLog, collected
from openretina_cli.run.model import Workbench
from openretina_cli.run.plan import Failures, Group, write_failure
from openretina_cli.run.result import result_of
from openretina_cli.run.solver import Reporter, Solved, Solver
from openretina_cli.run.stimulus_set import write_members
from openretina_cli.store.aside import aside
from openretina_cli.store.folder import FinishedMeanwhileError, RunFolder, Stamp
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import RESULT

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a disk after which no run can be written."""

log = logging.getLogger(__name__)

Asked = tuple[Job, Stamp | None]
"""A run that is being made, with the stamp of the result that it replaces."""


class SweepReporter(Reporter, Protocol):
    """Hears how a sweep goes on."""

    def finished(self, job: Job) -> None:
        """A run is in its folder."""

    def failed(self, job: Job, reason: str) -> None:
        """A run could not be made."""

    def warned(self, job: Job, reason: str) -> None:
        """A picture of a run could not be made; the run is finished nevertheless."""


class Place:
    """Where the runs of a sweep are written, and what becomes of those that fail.

    Args:
        path: a folder of this process inside the sweep's folder, on the same disk.
        record: what Hydra leaves beside the runs.
    """

    def __init__(self, path: Path, record: Record | None) -> None:
        self._path, self._record = path, record

    def stage(self, job: Job, lines: Sequence[str]) -> Path:
        """A folder to write one run into, with what Hydra leaves beside it and its log.

        Raises:
            OSError: the disk refuses.
        """
        path = self._home(job)
        if self._record is not None:
            self._record.write(job, path, lines)
        return path

    def _home(self, job: Job) -> Path:
        path = self._path / str(job.number)
        if path.exists():  # what is left of an attempt that failed
            shutil.rmtree(path)
        path.mkdir()
        return path

    def publish(self, stage: Path, folder: RunFolder, before: Stamp | None) -> None:
        """Move a run into place, unless another sweep on the same folder has finished it meanwhile.

        Args:
            stage: where it was written.
            folder: where it goes.
            before: the stamp of the folder when the run was planned.

        Raises:
            OSError: the disk refuses.
        """
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.publish(stage, before)
        except FinishedMeanwhileError:
            shutil.rmtree(stage)

    def failed(self, job: Job, error: OpenRetinaError | OSError, lines: Sequence[str]) -> str:
        """Leave a record of a failed run in its folder; a finished run of other settings stays beside it.

        Returns:
            Why it failed.

        Raises:
            OpenRetinaError: no other run will be made, as the disk takes no more.
        """
        _check_disk(error)
        reason = _reason(error)
        log.error("%s", reason)
        folder = RunFolder(job.folder)
        try:
            if folder.stamp is None:
                stage = self.stage(job, lines)
                write_failure(job.settings, reason, stage)
                self.publish(stage, folder, None)
            else:
                write_failure(job.settings, reason, folder.path)
        except OSError as problem:
            _check_disk(problem)
        return reason


class PlaceOfOne(Place):
    """A folder aside, see `RunFolder.stage`, for a run alone: its mistakes are those of the command."""

    def _home(self, job: Job) -> Path:
        return self._path

    def publish(self, stage: Path, folder: RunFolder, before: Stamp | None) -> None:
        """Move the run into place.

        Raises:
            FinishedMeanwhileError: another command has finished a run in this folder meanwhile.
        """
        folder.publish(stage, before)

    def failed(self, job: Job, error: OpenRetinaError | OSError, lines: Sequence[str]) -> str:
        """Raise the error, an error of the disk as one about the folder."""
        del lines
        with RunFolder(job.folder).explained(ArtifactError):
            raise error


class BatchRunner:
    """Makes runs; see `batch_runner`.

    Args:
        place: where runs are written before they appear.
        renderer: draws their pictures.
        lines: collects their logs.
        reporter: hears how it goes on.
        solver: solves them.
        draws_beside: whether others draw while this process computes.
    """

    def __init__(
        self,
        place: Place,
        renderer: Renderer,
        lines: JobLog,
        reporter: SweepReporter,
        solver: Solver,
        draws_beside: bool = False,
    ) -> None:
        self.failures: Failures = {}
        self._place, self._renderer, self._lines, self._reporter = place, renderer, lines, reporter
        self._solver, self._draws_beside = solver, draws_beside

    def run(self, jobs: Sequence[Job]) -> None:
        """Make the runs of a group.

        Raises:
            RunError: a run failed, and the settings say that the sweep then stops.
            ArtifactError: the disk takes no more.
        """
        draws = self._draws_beside and bool(pictures_of(jobs[0].settings))
        if draws:
            self._renderer.start(len(jobs))
        with _half_the_cores() if draws else nullcontext():
            for asked, result in self._solver.solve(self._asked(jobs)):
                with self._lines.about_one() as lines:
                    if isinstance(result, OpenRetinaError):
                        self._failed(asked[0], self._place.failed(asked[0], result, lines))
                    else:
                        self._write(asked, result, lines)

    def _asked(self, jobs: Sequence[Job]) -> Iterator[tuple[Asked, Settings]]:
        for job in jobs:
            self._lines.next()
            folder = RunFolder(job.folder)
            before = folder.stamp
            result = None if job.settings.overwrite else folder.result
            if result is not None and not self._solver.currency.difference(result, job.settings):
                self._reporter.finished(job)  # another command finished it meanwhile
            else:
                yield (job, before), job.settings

    def _write(self, asked: Asked, solved: Solved, lines: Sequence[str]) -> None:
        job, before = asked
        _tell(solved)
        self._reporter.write()
        try:
            stage = self._place.stage(job, lines)
            write_numbers(job.settings, solved.view, solved.outcome.history, stage)
            write_members(solved.outcome, stage)
            (stage / RESULT).write_bytes(json_bytes(result_of(solved)))
            self._place.publish(stage, RunFolder(job.folder), before)
        except (OSError, OpenRetinaError) as error:
            self._failed(job, self._place.failed(job, error, lines))
            return
        if pictures := pictures_of(job.settings, of_set=bool(solved.view.members)):
            self._renderer.submit(solved.view, pictures, partial(self._store, job, pictures, solved.failure))
        else:
            self._ended(job, solved.failure)

    def _store(self, job: Job, pictures: Wanted, failure: str | None, drawn: Drawn) -> None:
        for warning in store_pictures(drawn, pictures, RunFolder(job.folder)):
            self._reporter.warned(job, warning)
        self._ended(job, failure)

    def _ended(self, job: Job, failure: str | None) -> None:
        if failure is None:
            self._reporter.finished(job)
        else:
            self._failed(job, f"diverged: {failure}")

    def _failed(self, job: Job, reason: str) -> None:
        self.failures[job.folder] = reason
        self._reporter.failed(job, reason)
        if job.settings.fail_fast and job.number is not None:  # a run alone ends the command in any case
            raise RunError(f"{job.folder.name} failed: {reason}", repair="fail_fast=false to go on with the others")


def _tell(solved: Solved) -> None:
    """Put into the log what a user should know of a run."""
    iterations = solved.outcome.history[-1].iteration
    log.info("%s: %d iterations, stopped by %s", solved.view.title, iterations, solved.outcome.stop_reason)
    for warning in solved.warnings:
        log.warning("%s", warning)
    if solved.failure:
        log.error("%s", solved.failure)


@contextmanager
def _half_the_cores() -> Iterator[None]:
    """Leave cores to those who draw: one of torch's threads without a core keeps all others waiting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads // 2, 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _reason(error: OpenRetinaError | OSError) -> str:
    if isinstance(error, OpenRetinaError):
        return str(error)
    return str(ArtifactError(f"the run could not be written: {error.strerror or error}", repair="out=FOLDER"))


def _check_disk(error: BaseException) -> None:
    """Stop the sweep where the disk takes no more, since every other run would fail as well."""
    chained: BaseException | None = error
    while chained is not None:
        if isinstance(chained, OSError) and chained.errno in NO_ROOM:
            raise ArtifactError(
                f"the disk takes no more: {chained.strerror}; finished runs are safe",
                repair="the same command with more room, which goes on where this stopped",
            ) from error
        chained = chained.__cause__ or chained.__context__


@contextmanager
def batch_runner(
    directory: Path, group: Group, workers: int | None, reporter: SweepReporter, solver: Solver | None = None
) -> Iterator[BatchRunner]:
    """Set up what the runs of a sweep share; when the block ends well, all of them are in their folders.

    Args:
        directory: the sweep's folder, which exists.
        group: any group of the sweep; its logging settings count.
        workers: processes that draw; None means one per core.
        reporter: hears how it goes on.
        solver: solves the runs; it may hold their model already.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    try:
        with (
            collected(group.record.level) as lines,
            aside(directory, "sweep") as path,
            Renderer(workers) as renderer,
        ):
            yield BatchRunner(
                Place(path, group.record), renderer, lines, reporter, solver or Solver(reporter), workers != 0
            )
    except OSError as error:
        raise ArtifactError(
            f"out={directory} cannot be written: {error.strerror or error}", repair="out=FOLDER"
        ) from error


def make_one(job: Job, path: Path, record: Record | None, reporter: SweepReporter, given: Given = NOTHING) -> None:
    """Make a run alone; its pictures are drawn in this process.

    Args:
        job: the run.
        path: the folder aside that it is written into.
        record: what Hydra leaves beside it; None where Hydra has set up the run, and its log.
        reporter: hears how it goes on.
        given: objects in memory that take the place of options.

    Raises:
        OpenRetinaError: the run could not be made.
    """
    solver = Solver(reporter, Workbench(reporter.download, given))
    with nullcontext(JobLog()) if record is None else collected(record.level) as lines, Renderer(0) as renderer:
        BatchRunner(PlaceOfOne(path, record), renderer, lines, reporter, solver).run([job])
