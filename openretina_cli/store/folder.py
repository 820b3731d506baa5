"""The folder of a run, whose numbers appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.store.aside import aside, is_being_written, locked, move_folder
from openretina_cli.store.files import read_mapping
from openretina_cli.store.identity import is_of_later_version
from openretina_cli.store.names import FAILURE, FINDING, OUTPUTS, RESULT, is_plain
from openretina_cli.store.result import SHOWN, read_result
from openretina_cli.store.values import text, texts

Stamp = tuple[int, int]
"""Which file a result is: its inode and the time of its last change, in ns."""


def stamp_of(path: Path) -> Stamp | None:
    """What tells a file from a later one of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class FinishedMeanwhileError(SettingError):
    """Another command has finished a run in the folder since this run began."""


class RunFolder:
    """The folder of one run. A `result.json` in it means that the run is finished.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of the finished run in the folder, or None where there is none that can be read and shown.

        The result of a later version is returned as it is, so that `identity.difference` refuses it by name: a run that
        cannot be read here is no reason to write over it.
        """
        try:
            found = read_result(self.path)
            return dict(found.tree) if is_of_later_version(found.tree) else found.shown
        except ArtifactError:
            return None

    def finished(self, settings_key: str) -> dict[str, Any] | None:
        """The result in the folder, if it is that of a run with the same settings."""
        result = self.result
        identity = result.get("identity") if result is not None else None
        return result if isinstance(identity, dict) and identity.get("settings") == settings_key else None

    @property
    def flaw(self) -> str:
        """Why the result in the folder cannot be shown; empty where there is none, or where no part can be read."""
        try:
            found = read_result(self.path)
        except ArtifactError:
            return ""
        try:
            found.need(*SHOWN)
        except ArtifactError as error:
            return error.problem
        return ""

    @property
    def stamp(self) -> Stamp | None:
        """What tells one result in this folder from a later one; None where there is none."""
        return stamp_of(self.path / RESULT)

    def check(self) -> None:
        """Find out before any work whether the folder can be written.

        The folder may be a link to a folder, or a disk mounted there.

        Raises:
            SettingError: the place is taken by a file, leads nowhere, or cannot be written.
        """
        with self.explained(SettingError), suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(self.path)  # raises for a name that no file can have
        with self.explained(SettingError):
            taken = next(parent for parent in (self.path, *self.path.parents) if os.path.lexists(parent))
        where = f"out={self.path} " + ("" if taken == self.path else f"cannot be made, as {taken} ")
        if not taken.exists():
            raise SettingError(f"{where}is a link to a place that is not there", repair="out=FOLDER")
        if not taken.is_dir():
            raise SettingError(f"{where}is a file", expected="a folder, or none yet")
        if not os.access(taken, os.W_OK | os.X_OK):
            raise SettingError(f"out={self.path} cannot be written: no permission in {taken}", repair="out=FOLDER")

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """Make a folder aside to write into, which `publish` moves into place; it is removed when the block ends.

        Raises:
            SettingError: the folder cannot be made, or another process is writing into the same place.
        """
        # Inside a folder that is there already, which may be a disk of its own: files move only within a disk.
        home = self.path if self.path.is_dir() else self.path.parent
        made = [parent for parent in (home, *home.parents) if not parent.exists()]
        try:
            with ExitStack() as stack:
                with self.explained(SettingError):
                    home.mkdir(parents=True, exist_ok=True)
                    with locked(home):  # of two commands at once, exactly one sees no other
                        if is_being_written(home, self.path.name):
                            raise SettingError(
                                f"another command is making a run in out={self.path}",
                                repair="another out=, or wait for it",
                            )
                        place = stack.enter_context(aside(home, self.path.name))
                yield place
        except BaseException:
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

    def publish(self, place: Path, before: Stamp | None) -> None:
        """Move what was written aside into place: all at once where nothing is there yet, else the result last.

        The earlier result is removed first and the new one comes last, so that a result never vouches for other files;
        other files of the earlier run are removed with its result, and so is what verbs found on it. Commands that
        publish into one folder take turns.

        Args:
            place: the folder to move.
            before: the stamp of the result that is replaced.

        Raises:
            FinishedMeanwhileError: another command has finished a run in this folder meanwhile.
            OSError: the operating system refuses.
        """
        with locked(Path(os.path.realpath(self.path)).parent):
            if self.stamp not in (None, before):
                raise FinishedMeanwhileError(
                    f"another command has finished a run in out={self.path} meanwhile; its result stays",
                    repair="another out=, or overwrite=true",
                )
            if self.path.is_dir():
                self._clear()
            move_folder(place, self.path, last=RESULT)

    def _clear(self) -> None:
        listed: tuple[str, ...] = ()
        with suppress(ArtifactError):
            listed = texts(read_result(self.path).tree.get("files")) or ()
        if self.stamp is not None:
            listed = (*listed, *self._found())
        for name in (RESULT, FAILURE):
            (self.path / name).unlink(missing_ok=True)
        for name in (*OUTPUTS, *filter(is_plain, listed)):
            with suppress(OSError):  # the numbers that are to come matter more
                (self.path / name).unlink()

    def _found(self) -> Iterator[str]:
        """What verbs found on the earlier run, see `report.findings`."""
        for path in self.path.glob(f"*{FINDING}"):
            with suppress(ArtifactError):
                tree = read_mapping(path)
                yield from (text(tree.get("picture")) or "", *(texts(tree.get("files")) or ()))
            yield path.name
