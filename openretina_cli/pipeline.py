"""The whole way of one run: settings, model, objective, loop, artefacts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from openretina_cli.artifacts import folder as names
from openretina_cli.artifacts.rendering import Pictures, write_pictures
from openretina_cli.artifacts.tables import write_history, write_response, write_result, write_stimulus
from openretina_cli.config.options import Output
from openretina_cli.config.settings import Settings
from openretina_cli.errors import ArtifactError
from openretina_cli.result import result_of
from openretina_cli.solver import Reporter, Solved, solve

log = logging.getLogger(__name__)


def pictures_of(output: Output) -> Pictures:
    """The pictures that the settings ask for."""
    return Pictures(output.video, output.video_scale, tuple(output.figure), output.dpi)


def write_numbers(solved: Solved, folder: Path) -> dict[str, Any]:
    """Write the stimulus, the tables and the result of a run, and return the result.

    Raises:
        OSError: a file could not be written.
    """
    write_stimulus(solved.view.stimulus, folder / names.STIMULUS)
    write_history(solved.outcome.history, folder / names.HISTORY)
    write_response(solved.view, folder / names.RESPONSE)
    result = result_of(solved)
    write_result(result, folder / names.RESULT)
    return result


def tell(solved: Solved) -> None:
    """Put into the log what a user should know of a run."""
    iterations = solved.outcome.history[-1].iteration
    log.info("%s: %d iterations, stopped by %s", solved.view.title, iterations, solved.outcome.stop_reason)
    for warning in solved.warnings:
        log.warning("%s", warning)
    if solved.failure:
        log.error("%s", solved.failure)


def run(settings: Settings, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Make one run and write it into a folder that is looked at when it is whole; returns the result.

    Raises:
        OpenRetinaError: the run could not be made.
        ArtifactError: a file could not be written.
    """
    (solved,) = solve([settings], reporter)
    reporter.write()
    tell(solved)
    try:
        result = write_numbers(solved, folder)
        write_pictures(solved.view, pictures_of(settings.output), folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"the run could not be written: {reason}", repair="out=FOLDER with more room") from error
    return result
