"""The folder of a run, which appears whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.store.names import FAILURE, FIGURE, HISTORY, RESPONSE, RESULT, STIMULUS, VIDEO
from openretina_cli.store.reader import read_result

__all__ = [
    "FAILURE", "FIGURE", "HISTORY", "RESPONSE", "RESULT", "STIMULUS", "VIDEO", "RunFolder", "Stamp", "stamp_of",
]  # fmt: skip

Stamp = tuple[int, int]
"""Which file a result is: its inode and the time of its last change, in ns."""


def stamp_of(path: Path) -> Stamp | None:
    """What tells a file from a later one of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class RunFolder:
    """The folder of one run. A `result.json` in it means that the run is finished.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of the finished run in the folder, or None where there is none that can be read and shown."""
        try:
            return read_result(self.path).shown
        except ArtifactError:
            return None

    def finished(self, settings_key: str) -> dict[str, Any] | None:
        """The result in the folder, if it is that of a run with the same settings."""
        result = self.result
        return result if result is not None and result.get("settings_key") == settings_key else None

    @property
    def stamp(self) -> Stamp | None:
        """What tells one result in this folder from a later one; None where there is none."""
        return stamp_of(self.path / RESULT)

    def check(self) -> None:
        """Find out before any work whether the folder can be written.

        Raises:
            SettingError: its place is taken by a file, or cannot be written.
        """
        with self.explained(SettingError):
            existing = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        if not existing.is_dir():
            place = "is a file" if existing == self.path else f"cannot be made, as {existing} is a file"
            raise SettingError(f"out={self.path} {place}", expected="a folder, or none yet")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise SettingError(f"out={self.path} cannot be written: no permission in {existing}", repair="out=FOLDER")

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A folder aside to write into; when the block ends without an error, its files move into place.

        Raises:
            SettingError: the folder cannot be made.
            ArtifactError: the disk is full, or refuses.
        """
        # Inside a folder that is there already, which may be a disk of its own: files move only within a disk.
        home = self.path if self.path.exists() else self.path.parent
        aside = home / f".{self.path.name}.partial-{uuid.uuid4().hex[:8]}"
        made = [parent for parent in (self.path, *self.path.parents)[1:] if not parent.exists()]
        try:
            with self.explained(SettingError):
                aside.mkdir(parents=True)
            yield aside
            with self.explained(ArtifactError):
                self.publish(aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            for parent in made:  # folders made for a run that left nothing behind
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
            raise

    @contextmanager
    def explained(self, kind: type[OpenRetinaError]) -> Iterator[None]:
        """Raise an error of the operating system as an error about this folder, of a kind."""
        try:
            yield
        except OSError as error:
            raise kind(f"out={self.path} cannot be written: {error.strerror or error}", repair="out=FOLDER") from error

    def publish(self, aside: Path) -> None:
        """Move what was written aside into place: all at once where nothing is there yet, else the result last.

        Raises:
            OSError: the operating system refuses.
        """
        try:
            aside.rename(self.path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self._replace(aside)

    def _replace(self, aside: Path) -> None:
        # The old result goes first and the new one comes last, so that a result never vouches for other files.
        (self.path / RESULT).unlink(missing_ok=True)
        (self.path / FAILURE).unlink(missing_ok=True)
        names = sorted((path.name for path in aside.iterdir()), key=lambda name: name == RESULT)
        for name in names:
            if (self.path / name).is_dir():
                shutil.rmtree(self.path / name)
            (aside / name).replace(self.path / name)
        aside.rmdir()
