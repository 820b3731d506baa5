"""A single run, made by us and not by Hydra, so that its folder can appear whole; and a job of a sweep by Hydra."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from openretina_cli.config.compose import expand_homes
from openretina_cli.config.composed import Composed, text_at, without_hydra
from openretina_cli.config.job import current_folder, current_restored, make_current, set_up_job
from openretina_cli.config.settings import Settings, read_settings
from openretina_cli.errors import ArtifactError, OpenRetinaError, RunError, SettingError
from openretina_cli.output.chosen import chosen_outputs
from openretina_cli.run.currency import Currency
from openretina_cli.store.folder import RunFolder
from openretina_cli.sweep.failure import write_failure
from openretina_cli.terminal.console import make_console
from openretina_cli.terminal.run import RunConsole


@contextmanager
def _job(config: Composed, folder: RunFolder, stage: Path) -> Iterator[None]:
    """What Hydra sets up for a job: its own config, the run's log file, the provenance files."""
    handlers, level = list(logging.root.handlers), logging.root.level
    loud, logging.raiseExceptions = logging.raiseExceptions, False  # a full disk is told by the files that matter
    try:
        with folder.explained(ArtifactError):
            set_up_job(config, stage, folder.path)
        logging.captureWarnings(True)
        yield
    finally:
        logging.captureWarnings(False)
        for handler in set(logging.root.handlers) - set(handlers):
            with suppress(OSError):  # likewise
                handler.close()
        logging.raiseExceptions = loud
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def _currency() -> Currency:
    def loaded_digest(settings: Settings) -> str:
        from openretina_cli.run.workbench import Workbench  # torch, only where a model must be built to be known

        return Workbench().retina(settings).facts.sha256

    return Currency(loaded_digest)


def _finished(folder: RunFolder, settings: Settings) -> dict[str, Any] | None:
    """The result of the same run, if the folder holds it.

    Raises:
        OpenRetinaError: the folder holds a run of other settings, weights, classes or files, or the model, without
            which this cannot be told, cannot be had.
    """
    if settings.overwrite:
        return None
    result = folder.result
    reason = folder.flaw if result is None else _currency().difference(result, settings)
    if reason:
        raise SettingError(
            f"out={folder.path} holds a finished run of other settings or files: {reason}",
            repair="another out=, or overwrite=true",
        )
    return result


def run_single(config: Composed) -> float:
    """Make the run that composed settings ask for, unless it is finished; returns its final objective.

    Raises:
        OpenRetinaError: a mistake, or the run failed.
    """
    make_current(config)
    settings = read_settings(without_hydra(config))
    chosen_outputs(settings)  # mistakes come out before any work
    folder = RunFolder(Path(text_at(config, "hydra.run.dir")))
    folder.check()
    console = RunConsole(make_console())
    if (result := _finished(folder, settings)) is not None:
        console.console.print("this run is finished already; overwrite=true makes it again")
        _draw_missing(settings, folder)
        console.finish(folder.result or result, folder.path)
        return _value(result)
    with console.live(), folder.stage() as stage, current_restored(), _job(config, folder, stage):
        from openretina_cli.pipeline import run  # torch, only where something is computed

        result = run(settings, folder, stage, console)
    console.finish(result, folder.path)
    return _value(result)


def _draw_missing(settings: Settings, folder: RunFolder) -> None:
    from openretina_cli.output.drawing.later import draw_missing  # imports NumPy, which a mistake need not wait for

    draw_missing(settings, [folder.path])


def _value(result: dict[str, Any]) -> float:
    """The final objective of a finished run.

    Raises:
        RunError: the run diverged; what it left is in its folder.
    """
    if result["failure"]:
        raise RunError(f"the run diverged: {result['failure']}", repair="a smaller optimizer.lr")
    return float(result["objective"]["final"])


def sweep_job(config: Composed) -> float:
    """One job of a sweep by one of Hydra's own launchers, which has made the folder already.

    A run that is finished is not made again; one whose settings, weights, classes or files changed is.

    Raises:
        OpenRetinaError: a mistake, or the run failed.
    """
    expand_homes(config)
    settings = read_settings(config)
    chosen_outputs(settings)
    folder = RunFolder(current_folder())
    result = None if settings.overwrite else folder.result
    if result is not None and not _currency().difference(result, settings):
        _draw_missing(settings, folder)
    else:
        try:
            result = _run_here(settings, folder)
        except OpenRetinaError as error:
            with suppress(OSError):  # the error that is told matters more
                write_failure(settings, str(error), folder.path)
            raise
    return _value(result)


def _run_here(settings: Settings, folder: RunFolder) -> dict[str, Any]:
    from openretina_cli.pipeline import run  # torch, only where something is computed

    console = RunConsole(make_console())
    with console.live(), folder.stage() as stage:
        result = run(settings, folder, stage, console)
    console.finish(result, folder.path)
    return result
