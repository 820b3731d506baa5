"""Finds the folders of runs below a folder, finished, failed or left half done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from openretina_cli.errors import SettingError
from openretina_cli.store.names import FAILURE, HISTORY, RESPONSE, RESULT, STIMULUS

ENDED = (RESULT, FAILURE)
"""Files of which a run that ended, well or badly, has one."""

BEGUN = (STIMULUS, HISTORY, RESPONSE, ".hydra")
"""Names of which a folder that was meant to become a run has one."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts neuron=2 before neuron=10."""
    pieces = re.split(r"([0-9]{1,18})", name)
    return tuple((0, int(piece), "") if index % 2 else (1, 0, piece) for index, piece in enumerate(pieces))


def shown_name(path: Path, root: Path) -> str:
    """The name of a folder below another, with slashes; bytes that are no text are replaced."""
    name = path.relative_to(root).as_posix()
    return os.fsencode(name).decode("utf-8", "replace")


def find_runs(directory: Path) -> list[Path]:
    """The folders of runs in a folder, in natural order of their names; the folder alone where it is a run itself.

    Folders whose name begins with a dot are skipped: runs are written there, or they belong to tools. So are links to
    folders, and folders inside a run that ended.

    Raises:
        SettingError: it is no folder, cannot be read, or holds no run.
    """
    found = _runs_in(directory)
    if not found:
        raise SettingError(f"there is no run in {directory}", repair=f"openretina optimize out={directory}/NAME")
    return found


def find_finished(folders: Sequence[Path]) -> list[Path]:
    """The finished runs in folders, each once; a run is finished where it has a result, broken or not.

    Raises:
        SettingError: a folder is not there, cannot be read, or holds no finished run.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        runs = [path for path in _runs_in(folder) if os.path.lexists(path / RESULT)]
        if not runs:
            raise SettingError(f"there is no finished run in {folder}", repair=f"openretina optimize out={folder}")
        found |= dict.fromkeys(path.resolve() for path in runs)
    return list(found)


def _runs_in(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise SettingError(f"{directory} is no folder", expected="a run, or a folder with runs below it")
    ended, begun = [], []
    for place, names in _walk(directory):
        if not names.isdisjoint(ENDED):
            ended.append(place)
        elif not names.isdisjoint(BEGUN):
            begun.append(place)
    # a folder that holds runs is no run itself, though a sweep may leave its settings there
    holding = {parent for path in (*ended, *begun) for parent in path.parents}
    found = ended + [path for path in begun if path not in holding and path != directory]
    return sorted(found, key=lambda path: (natural_key(shown_name(path, directory)), os.fsencode(path)))


def _walk(directory: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every folder that may be a run with the names in it; a stack and not recursion, as folders may lie deep.

    Raises:
        SettingError: the directory itself cannot be read; folders below it that cannot be read are left out.
    """
    waiting = [directory]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                found = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        except OSError as error:
            if place == directory:
                raise SettingError(f"{directory} cannot be read: {error.strerror}") from error
            continue
        yield place, set(found)
        if found.keys().isdisjoint(ENDED):
            waiting += [place / name for name, folder in found.items() if folder and not name.startswith(".")]
