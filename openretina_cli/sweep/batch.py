"""Makes the runs of a sweep, group by group, in this process; numbers appear first, pictures when they are drawn."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from openretina_cli.config.provenance import write_provenance
from openretina_cli.config.settings import Settings
from openretina_cli.config.template import Job
from openretina_cli.errors import ArtifactError, OpenRetinaError, RunError
from openretina_cli.output.base import Wanted
from openretina_cli.output.chosen import pictures_of
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.drawing.renderer import Renderer
from openretina_cli.pipeline import tell, write_numbers
from openretina_cli.solver import Reporter, Solved, Solver
from openretina_cli.store.folder import RunFolder, Stamp
from openretina_cli.sweep.area import Area, area
from openretina_cli.sweep.failure import Failures, write_failure
from openretina_cli.sweep.job_log import JobLog, collected
from openretina_cli.sweep.plan import Group

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a disk after which no run can be written."""

log = logging.getLogger(__name__)


class SweepReporter(Reporter, Protocol):
    """Hears how a sweep goes on."""

    def finished(self, job: Job) -> None:
        """A run is in its folder."""

    def failed(self, job: Job, reason: str) -> None:
        """A run could not be made."""

    def warned(self, job: Job, reason: str) -> None:
        """A picture of a run could not be made; the run is finished nevertheless."""


@dataclass
class _Open:
    """A run that is being made."""

    job: Job
    group: Group
    settings: Settings
    before: Stamp | None


class BatchRunner:
    """Makes runs; see `batch_runner`.

    Args:
        area: where runs are written before they appear.
        renderer: draws their pictures.
        lines: collects their logs.
        reporter: hears how it goes on.
        solver: solves them.
    """

    def __init__(self, area: Area, renderer: Renderer, lines: JobLog, reporter: SweepReporter, solver: Solver) -> None:
        self.failures: Failures = {}
        self._area, self._renderer, self._lines, self._reporter, self._solver = area, renderer, lines, reporter, solver

    def run(self, group: Group) -> None:
        """Make the runs of a group.

        Raises:
            RunError: a run failed, and the settings say that the sweep then stops.
            ArtifactError: the disk takes no more.
        """
        draws = bool(pictures_of(group.template.settings(group.jobs[0])))
        if draws:
            self._renderer.start(len(group.jobs))
        with _half_the_cores() if draws else nullcontext():
            for run, result in self._solver.solve(self._asked(group)):
                with self._lines.about_one() as lines:
                    if isinstance(result, OpenRetinaError):
                        self._fail(run, result, lines)
                    else:
                        self._write(run, result, lines)

    def _asked(self, group: Group) -> Iterator[tuple[_Open, Settings]]:
        for job in group.jobs:
            self._lines.next()
            folder = RunFolder(job.folder)
            settings = group.template.settings(job)
            before = folder.stamp
            if not settings.overwrite and self._is_current(folder, settings):  # another sweep finished it meanwhile
                self._finished(job)
                continue
            yield _Open(job, group, settings, before), settings

    def _is_current(self, folder: RunFolder, settings: Settings) -> bool:
        result = folder.result
        return result is not None and not self._solver.currency.difference(result, settings)

    def _write(self, run: _Open, solved: Solved, lines: Sequence[str]) -> None:
        tell(solved)
        try:
            place = self._staged(run, lines)
            write_numbers(solved, place)
            self._area.publish(place, RunFolder(run.job.folder), run.before)
        except (OSError, OpenRetinaError) as error:
            self._fail(run, _told(error) if isinstance(error, OSError) else error, lines)
            return
        if pictures := pictures_of(run.settings):
            self._renderer.submit(solved.view, pictures, partial(self._store, run, pictures, solved.failure))
        else:
            self._ended(run, solved.failure)

    def _store(self, run: _Open, pictures: Wanted, failure: str | None, drawn: Drawn) -> None:
        for warning in store_pictures(drawn, pictures, RunFolder(run.job.folder)):
            self._reporter.warned(run.job, warning)
        self._ended(run, failure)

    def _ended(self, run: _Open, failure: str | None) -> None:
        if failure is None:
            self._finished(run.job)
        else:
            self._failed(run, f"diverged: {failure}")

    def _staged(self, run: _Open, lines: Sequence[str]) -> Path:
        """A folder aside with what Hydra leaves beside a run, and the log of the run."""
        config = run.group.template.become(run.job.number, run.job.request, run.job.folder)
        stage = self._area.stage(str(run.job.number))
        write_provenance(config, stage)
        text = "".join(f"{line}\n" for line in lines)
        (stage / f"{config.hydra.job.name}.log").write_text(text, encoding="utf-8")
        return stage

    def _fail(self, run: _Open, error: OpenRetinaError, lines: Sequence[str]) -> None:
        """Leave a record of a failed run in its folder; a finished run of other settings stays beside it."""
        _check_disk(error)
        log.error("%s", error)
        folder = RunFolder(run.job.folder)
        try:
            if folder.stamp is None:
                stage = self._staged(run, lines)
                write_failure(run.settings, str(error), stage)
                self._area.publish(stage, folder, None)
            else:
                write_failure(run.settings, str(error), folder.path)
        except OSError as problem:
            _check_disk(_told(problem))
        self._failed(run, str(error))

    def _finished(self, job: Job) -> None:
        self._reporter.finished(job)

    def _failed(self, run: _Open, reason: str) -> None:
        self.failures[run.job.folder] = reason
        self._reporter.failed(run.job, reason)
        if run.settings.fail_fast:
            raise RunError(f"{run.job.folder.name} failed: {reason}", repair="fail_fast=false to go on with the others")


@contextmanager
def _half_the_cores() -> Iterator[None]:
    """Leave cores to those who draw: one of torch's threads without a core keeps all others waiting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads // 2, 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _told(error: OSError) -> ArtifactError:
    told = ArtifactError(f"the run could not be written: {error.strerror or error}", repair="out=FOLDER")
    told.__cause__ = error
    return told


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
    hydra = group.template.config.hydra
    try:
        with (
            collected(hydra.job_logging) as lines,
            area(directory) as place,
            Renderer(workers) as renderer,
        ):
            yield BatchRunner(place, renderer, lines, reporter, solver or Solver(reporter))
    except OSError as error:
        raise ArtifactError(
            f"out={directory} cannot be written: {error.strerror or error}", repair="out=FOLDER"
        ) from error
