"""The whole way of one run: settings, model, objective, loop, artefacts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from openretina_cli.config.settings import Settings
from openretina_cli.errors import ArtifactError
from openretina_cli.output import chosen
from openretina_cli.output.drawing.draw import draw_pictures
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.result import result_of
from openretina_cli.solver import Reporter, Solved, solve
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import RESULT

log = logging.getLogger(__name__)


def write_numbers(solved: Solved, folder: Path) -> dict[str, Any]:
    """Write the outputs that are made of numbers and the result of a run, and return the result.

    Raises:
        OSError: a file could not be written.
        ArtifactError: an output could not be made.
    """
    chosen.write_numbers(solved.plan.settings, solved.view, solved.outcome.history, folder)
    result = result_of(solved)
    (folder / RESULT).write_bytes(json_bytes(result))
    return result


def tell(solved: Solved) -> None:
    """Put into the log what a user should know of a run."""
    iterations = solved.outcome.history[-1].iteration
    log.info("%s: %d iterations, stopped by %s", solved.view.title, iterations, solved.outcome.stop_reason)
    for warning in solved.warnings:
        log.warning("%s", warning)
    if solved.failure:
        log.error("%s", solved.failure)


def run(settings: Settings, folder: RunFolder, place: Path, reporter: Reporter) -> dict[str, Any]:
    """Make one run: its numbers appear in its folder first, then its pictures; returns the result.

    A picture that cannot be drawn is a warning in the result.

    Args:
        settings: of the run.
        folder: of the run.
        place: a folder aside, see `RunFolder.stage`, which is moved into place.
        reporter: shows how the run goes on.

    Raises:
        OpenRetinaError: the run could not be made.
        ArtifactError: the numbers could not be written.
    """
    before = folder.stamp
    (solved,) = solve([settings], reporter)
    reporter.write()
    tell(solved)
    with folder.explained(ArtifactError):
        result = write_numbers(solved, place)
        folder.publish(place, before)
    if pictures := chosen.pictures_of(settings):
        result["warnings"] += store_pictures(draw_pictures(solved.view, pictures), pictures, folder)
    return result
