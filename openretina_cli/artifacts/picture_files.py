"""Puts pictures into the folder of a run whose numbers are safe there; its result says which could not be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from openretina_cli.artifacts.folder import RunFolder
from openretina_cli.artifacts.pictures import Drawn, Pictures
from openretina_cli.errors import ArtifactError
from openretina_cli.store.aside import write_whole
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import PICTURES, RESULT
from openretina_cli.store.reader import read_result


def store_pictures(drawn: Drawn, pictures: Pictures, folder: RunFolder) -> list[str]:
    """Write the pictures of a run, and say in its result which are missing and why.

    Warnings of an earlier attempt at the same pictures are removed from the result. The numbers stay as they are,
    whatever happens.

    Args:
        drawn: the pictures.
        pictures: which were wanted.
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
    warnings = [f"{_head(name)}{problem}" for name, problem in problems.items()]
    with suppress(OSError):  # a disk that takes no pictures takes no warning
        _note(folder, pictures.names, warnings)
    return warnings


def _head(name: str) -> str:
    return f"{name} is missing: "


def is_of_picture(warning: str) -> bool:
    """Whether a warning of a result is about a picture."""
    return warning.startswith(tuple(map(_head, PICTURES)))


def _note(folder: RunFolder, names: Sequence[str], warnings: Sequence[str]) -> None:
    """Replace the warnings about some pictures in a result.

    Raises:
        OSError: the result cannot be written.
    """
    try:
        result = read_result(folder.path).tree
    except ArtifactError:
        return
    if not isinstance(before := result.get("warnings"), list):
        return
    heads = tuple(map(_head, names))
    after = [*(text for text in before if not str(text).startswith(heads)), *warnings]
    if after != before:
        write_whole(folder.path, {RESULT: json_bytes({**result, "warnings": after})})
