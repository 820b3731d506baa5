"""One sweep, from its overrides to its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from openretina_cli.config.compose import current_restored
from openretina_cli.config.expand import Cells, expand
from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.overrides import Override
from openretina_cli.config.settings import yaml_text
from openretina_cli.config.template import Template
from openretina_cli.errors import ArtifactError, RunError, SettingError
from openretina_cli.output.drawing.later import draw_missing
from openretina_cli.report import write_report
from openretina_cli.run import slurm
from openretina_cli.run.currency import Currency
from openretina_cli.run.launcher import Batched, Launcher, Slurm, launcher_of, own_launcher
from openretina_cli.run.plan import Compose, Failures, Progress, Sweep, plan_sweep, standing
from openretina_cli.run.slurm_queue import check_programs
from openretina_cli.store.aside import refuse_links, write_whole
from openretina_cli.store.folder import RunFolder
from openretina_cli.terminal.sweep import SweepConsole

if TYPE_CHECKING:  # torch, only where something is computed
    from openretina_cli.config.settings import Settings
    from openretina_cli.models.retina import Retina
    from openretina_cli.run.model import Workbench

MULTIRUN = "multirun.yaml"
"""Where Hydra leaves the settings of a sweep."""


class SweepRun:
    """One sweep on its way.

    Args:
        overrides: of the sweep, as parsed.
        compose: composes overrides into settings.
        console: what a person sees of it.
        given: objects in memory that take the place of options.
    """

    def __init__(
        self, overrides: Sequence[Override], compose: Compose, console: SweepConsole, given: Given = NOTHING
    ) -> None:
        self._overrides, self._given = overrides, given
        self._compose: Compose = lambda words: given.into(compose(words))
        self._console = console
        self._currency = Currency(lambda settings: self._retina(settings).facts.sha256)
        self._local = True

    @cached_property
    def _bench(self) -> Workbench:
        from openretina_cli.run.model import Workbench  # torch, only where the model is asked

        return Workbench(self._console.download, self._given)

    def run(self) -> None:
        """Make what is left of the sweep, and its report.

        Raises:
            OpenRetinaError: a mistake, found before anything is made; or runs failed.
        """
        if (failure := self.make()) is not None:
            raise failure

    def make(self) -> RunError | None:
        """Make what is left of the sweep, and its report, and return the error about runs that failed.

        Raises:
            OpenRetinaError: a mistake, found before anything is made; or the sweep stopped at a run.
        """
        with current_restored():
            sweep = plan_sweep(expand(self._overrides, self.cells), self._compose)
            launcher = launcher_of(sweep.config)
        if self._given.objects and not isinstance(launcher, Batched):
            problem = "objects in memory reach no other process, so hydra/launcher=slurm cannot run them"
            raise SettingError(problem, repair="a class in a file, named by its _target_")
        _check_places(sweep)
        self._local = isinstance(launcher, Batched)
        progress = standing(sweep, self._currency)
        if progress.todo:  # a model that cannot be had is one mistake, and not that of each run
            self._retina(progress.todo[0].jobs[0].settings)
        if progress.todo and isinstance(launcher, Slurm):
            check_programs()
        self._console.planned(sweep.directory, progress)
        _write_multirun(sweep)
        failures = self._launch(sweep, progress, launcher)
        if failures is None:
            return None
        self._draw_missing(sweep, progress, launcher.workers)
        files = write_report(sweep.directory, self._console.reported)
        self._console.closed(files)
        failed = len(failures) + progress.diverged
        repair = f"a look at {files.summary}"
        return RunError(f"{failed} of {len(sweep.jobs)} runs failed", repair=repair) if failed else None

    def _draw_missing(self, sweep: Sweep, progress: Progress, workers: int | None) -> None:
        """Draw the pictures of runs that an earlier command finished, and had no time or was not asked to draw."""
        finished = {job.folder for job in progress.finished}
        for group in sweep.groups:
            folders = [job.folder for job in group.jobs if job.folder in finished]
            for reason in draw_missing(group.jobs[0].settings, folders, workers).reasons:
                self._console.warned(group.jobs[0], reason)

    def cells(self) -> Cells:
        """What `all` means: asked of the model, which all runs have in common.

        Raises:
            OpenRetinaError: the model cannot be had.
        """
        texts = [str(override.input_line) for override in self._overrides if not override.is_sweep_override()]
        template = Template(self._compose([text for text in texts if text not in ("neuron=all", "session=all")]))
        settings = template.job(0, ()).settings
        self._local = own_launcher(template.config) == "batched"
        facts = self._retina(settings).facts
        return Cells(facts.sessions, settings.session or next(iter(facts.sessions)), facts.neurons_of)

    def _retina(self, settings: Settings) -> Retina:
        """The model of a run; the head of a cluster need not have the device that the runs get."""
        return self._bench.retina(settings if self._local else replace(settings, device="cpu"))

    def _launch(self, sweep: Sweep, progress: Progress, launcher: Launcher) -> Failures | None:
        """Why runs of those that were left failed; None where they were left to others."""
        if not progress.todo:
            return {}
        if isinstance(launcher, Slurm):
            return slurm.launch(sweep, progress.todo, launcher, self._currency, self._console)
        from openretina_cli.run.batch import batch_runner  # torch
        from openretina_cli.run.solver import Solver

        solver = Solver(self._console, self._bench, self._currency)
        with batch_runner(sweep.directory, progress.todo[0], launcher.workers, self._console, solver) as runner:
            for group in progress.todo:
                runner.run(group.jobs)
        return runner.failures


def _check_places(sweep: Sweep) -> None:
    """Find out before anything is computed whether the runs can be written.

    Raises:
        SettingError: a folder cannot be written, or is reached by a link inside the sweep's folder.
    """
    RunFolder(sweep.directory).check()
    for folder in {job.folder for job in sweep.jobs}:
        refuse_links(folder, sweep.directory)


def _write_multirun(sweep: Sweep) -> None:
    content = yaml_text(sweep.config)
    with RunFolder(sweep.directory).explained(ArtifactError):
        sweep.directory.mkdir(parents=True, exist_ok=True)
        write_whole(sweep.directory, {MULTIRUN: content.encode("utf-8", "backslashreplace")})
