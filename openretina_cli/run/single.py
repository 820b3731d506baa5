"""A sweep of one: the run that a command without `-m` asks for, or one of Hydra's own launchers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from openretina_cli.config.compose import current_restored, run_alone, run_of_hydra
from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import Composed, Settings
from openretina_cli.config.template import Job
from openretina_cli.errors import OpenRetinaError, RunError, SettingError
from openretina_cli.output.chosen import chosen_outputs
from openretina_cli.run.currency import Currency
from openretina_cli.run.plan import write_failure
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.result import read_result
from openretina_cli.terminal.console import make_console
from openretina_cli.terminal.run import RunConsole


def _loaded_digest(settings: Settings) -> str:
    from openretina_cli.run.model import Workbench  # torch, only where a model must be built to be known

    return Workbench().retina(settings).facts.sha256


def run_single(config: Composed) -> float:
    """Make the run that composed settings ask for, unless it is finished; returns its final objective.

    Raises:
        OpenRetinaError: a mistake, or the run failed.
    """
    with current_restored():
        job, record = run_alone(config)
        return run_job(job, record, RunConsole(make_console()))


def run_job(job: Job, record: Record, console: RunConsole, given: Given = NOTHING) -> float:
    """Make a run, unless it is finished; returns its final objective.

    Args:
        job: the run.
        record: what Hydra leaves beside it.
        console: what a person sees of it.
        given: objects in memory that take the place of options.

    Raises:
        OpenRetinaError: a mistake, or the run failed.
    """
    chosen_outputs(job.settings)  # mistakes come out before any work
    folder = RunFolder(job.folder)
    folder.check()
    if (result := _finished(folder, job.settings)) is not None:
        console.unchanged()
        _draw_missing(job)
        console.finish(folder.result or result, folder.path)
        return _value(result)
    return _made(job, record, console, given)


def _finished(folder: RunFolder, settings: Settings) -> dict[str, Any] | None:
    """The result of the same run, if the folder holds it.

    Raises:
        OpenRetinaError: the folder holds a run of other settings, weights, classes or files, or the model, without
            which this cannot be told, cannot be had.
    """
    if settings.overwrite:
        return None
    result = folder.result
    reason = folder.flaw if result is None else Currency(_loaded_digest).difference(result, settings)
    if reason:
        raise SettingError(
            f"out={folder.path} holds a finished run of other settings or files: {reason}",
            repair="another out=, or overwrite=true",
        )
    return result


def sweep_job(config: Composed) -> float:
    """One job of a sweep by one of Hydra's own launchers, which has made the folder already.

    A run that is finished is not made again; one whose settings, weights, classes or files changed is.

    Raises:
        OpenRetinaError: a mistake, or the run failed.
    """
    job = run_of_hydra(config)
    chosen_outputs(job.settings)
    result = None if job.settings.overwrite else RunFolder(job.folder).result
    if result is not None and not Currency(_loaded_digest).difference(result, job.settings):
        _draw_missing(job)
        return _value(result)
    try:
        return _made(job, None, RunConsole(make_console()))
    except OpenRetinaError as error:
        with suppress(OSError):  # the error that is told matters more
            write_failure(job.settings, str(error), job.folder)
        raise


def _draw_missing(job: Job) -> None:
    from openretina_cli.output.drawing.later import draw_missing  # imports NumPy, which a mistake need not wait for

    draw_missing(job.settings, [job.folder])


def _value(result: dict[str, Any]) -> float:
    """The final objective of a finished run.

    Raises:
        RunError: the run diverged; what it left is in its folder.
    """
    if result["failure"]:
        raise RunError(f"the run diverged: {result['failure']}", repair="a smaller optimizer.lr")
    return float(result["objective"]["final"])


def _made(job: Job, record: Record | None, console: RunConsole, given: Given = NOTHING) -> float:
    """Make one run, and show what came out.

    Raises:
        OpenRetinaError: the run could not be made, or diverged.
    """
    folder = RunFolder(job.folder)
    with console.live(), folder.stage() as stage:
        from openretina_cli.run.batch import make_one  # torch, only where something is computed

        make_one(job, stage, record, console, given)
    result = read_result(job.folder).shown
    console.finish(result, job.folder)
    return _value(result)
