"""Keeps pictures in the folder of a run whose numbers are safe there; its result says which could not be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.output.base import Wanted
from openretina_cli.output.chosen import stated_outputs
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.store.aside import write_whole
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import RESULT
from openretina_cli.store.result import read_result

MISSING, SHOWS = " is missing: ", " shows "
"""What follows the name of a picture in a warning about it."""


def store_pictures(drawn: Drawn, wanted: Wanted, folder: RunFolder) -> list[str]:
    """Write the pictures of a run, and say in its result how they are drawn, what is missing, and what is not shown.

    Warnings of an earlier attempt at the same pictures are removed from the result. The numbers stay as they are,
    whatever happens.

    Args:
        drawn: the pictures.
        wanted: which pictures were wanted.
        folder: of the run, which is finished.

    Returns:
        The warnings: a line per picture that is missing.
    """
    problems = dict(drawn.problems)
    for name, content in drawn.files.items():
        try:
            write_whole(folder.path, {name: content})
        except OSError as error:
            problems[name] = f"it could not be written: {error.strerror or error}"
    warnings = [f"{name}{MISSING}{problem}" for name, problem in problems.items()]
    remarks = [f"{name}{SHOWS}{remark}" for name, remark in drawn.remarks.items() if name not in problems]
    with suppress(OSError, ArtifactError):  # a disk that takes no pictures takes no warning
        before = read_result(folder.path).tree
        after = _noted(before, wanted, [*warnings, *remarks], drawn.files.keys() - problems.keys())
        if after != before:
            write_whole(folder.path, {RESULT: json_bytes(after)})
    return warnings


def _noted(result: Mapping[str, Any], wanted: Wanted, warnings: list[str], made: Iterable[str]) -> Mapping[str, Any]:
    """A result that says what became of its pictures; one without a list of warnings is none of ours, and stays."""
    before, settings = result.get("warnings"), result.get("settings")
    if not isinstance(before, list):
        return result
    heads = tuple(name + head for name in wanted for head in (MISSING, SHOWS))
    noted = {**result, "warnings": [*(text for text in before if not str(text).startswith(heads)), *warnings]}
    if isinstance(files := result.get("files"), list):
        noted["files"] = [*files, *(name for name in wanted if name not in files)]
    if isinstance(settings, Mapping) and (drawn := {wanted[name].chosen: wanted[name].settings for name in made}):
        noted["settings"] = {**settings, "output": {**stated_outputs(settings), **drawn}}
    return noted
