"""Finds the folders of runs below a folder, finished, failed or left half done."""

from __future__ import annotations

import os
from pathlib import Path

from openretina_cli.artifacts.folder import FAILURE, HISTORY, RESPONSE, RESULT, STIMULUS
from openretina_cli.errors import SettingError
from openretina_cli.report.names import natural_key, shown_name

ENDED = (RESULT, FAILURE)
"""A run that ended, well or badly, left one of these."""

BEGUN = (STIMULUS, HISTORY, RESPONSE, ".hydra")
"""A folder with one of these was meant to become a run."""


def find_runs(directory: Path) -> list[Path]:
    """The folders of runs in a folder, in natural order of their names; the folder alone where it is a run itself.

    Folders whose name begins with a dot are no runs: they are being written, or belong to tools.

    Raises:
        SettingError: it is no folder, cannot be read, or holds no run.
    """
    if not directory.is_dir():
        raise SettingError(f"{directory} is no folder", expected="a folder with runs below it")
    if any((directory / name).is_file() for name in ENDED):
        return [directory]
    found = _below(directory)
    if not found:
        raise SettingError(f"there is no run in {directory}", repair=f"openretina optimize out={directory}/NAME")
    return sorted(found, key=lambda path: (natural_key(shown_name(path, directory)), os.fsencode(path)))


def _below(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        if Path(error.filename) == directory:
            raise SettingError(f"{directory} cannot be read: {error.strerror}") from error

    ended, begun = [], []
    for place, folders, files in os.walk(directory, onerror=refuse):
        if not {*ENDED}.isdisjoint(files):
            ended.append(Path(place))
            folders.clear()
        elif not {*BEGUN}.isdisjoint((*folders, *files)):
            begun.append(Path(place))
        folders[:] = [name for name in folders if not name.startswith(".")]
    # a folder that holds runs is no run itself, though a sweep may leave its settings there
    holding = {parent for path in (*ended, *begun) for parent in path.parents}
    return ended + [path for path in begun if path not in holding and path != directory]
