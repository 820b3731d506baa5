"""The folder of an export, which appears whole or not at all; `export.json`, which vouches for it, comes last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.aside import locked, move_folder
from openretina_cli.store.files import read_mapping
from openretina_cli.store.folder import RunFolder

RECORD = "export.json"


class ExportFolder:
    """Where an export goes.

    Args:
        path: the folder; it need not exist.
        overwrite: whether an earlier export there is replaced.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self._folder = RunFolder(path)
        self.path = self._folder.path
        self._overwrite = overwrite

    def check(self) -> None:
        """Find out before any work whether the folder can be written.

        Raises:
            SettingError: it cannot, or holds something else.
        """
        self._folder.check()
        if not self.path.is_dir() or not (names := _shown(self.path)):
            return
        if RECORD not in names:
            raise SettingError(f"out={self.path} holds {names[0]}", expected="an empty folder, or none yet")
        if not self._overwrite:
            raise SettingError(f"out={self.path} holds an export", repair="another out=, or overwrite=true")
        if others := [name for name in names if name not in _listed(self.path)]:
            raise SettingError(
                f"out={self.path} holds {others[0]}, which is no part of the export there", repair="another out="
            )

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Make a folder aside, and move it into place at the end; an error leaves nothing.

        Raises:
            ArtifactError: the operating system refuses, as on a full disk.
            SettingError: another process is writing into the same place.
        """
        with self._folder.explained(ArtifactError), self._folder.stage() as place:
            yield place
            with locked(Path(os.path.realpath(self.path)).parent):
                self.check()
                self._clear()
                move_folder(place, self.path, last=RECORD)

    def _clear(self) -> None:
        """Remove the earlier export, its record first."""
        if not self.path.is_dir():
            return
        names = _shown(self.path)
        for name in sorted(names, key=lambda name: name != RECORD):
            if (self.path / name).is_dir() and not (self.path / name).is_symlink():
                shutil.rmtree(self.path / name)
            else:
                (self.path / name).unlink()


def _shown(folder: Path) -> list[str]:
    """Names in a folder, without hidden ones, which other processes may be writing."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _listed(folder: Path) -> set[str]:
    """What the record of an export lists, folders by their first part.

    Raises:
        ArtifactError: the record cannot be read.
    """
    files = read_mapping(folder / RECORD).get("files")
    if not isinstance(files, dict):
        raise ArtifactError(f"{folder / RECORD} lists no files", expected="the record of an export")
    return {RECORD, *(str(name).partition("/")[0] for name in files)}
