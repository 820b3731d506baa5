"""Where the runs of a sweep are written before they appear; what a killed process left there is cleared away."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from openretina_cli.artifacts.folder import RunFolder, Stamp

LOCK = ".lock"
AREA = ".staged-"


class StagingArea:
    """A folder of one process inside a sweep's folder, on the same disk, so that finished runs move into place whole.

    A lock is held on it as long as the process lives; the operating system lets go of it however the process ends.

    Args:
        directory: the sweep's folder; it must exist.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{AREA}{uuid.uuid4().hex[:8]}"
        self._directory = directory
        self._lock = FileLock(str(directory / LOCK))
        self._alive = FileLock(f"{self.path}{LOCK}")

    @contextmanager
    def opened(self) -> Iterator[StagingArea]:
        """Make the area, and remove it at the end with whatever was not published.

        Raises:
            OSError: the disk refuses.
        """
        with self._lock:
            self._clear_away()
            self._alive.acquire()
            self.path.mkdir()
        try:
            yield self
        finally:
            with self._lock:
                shutil.rmtree(self.path, ignore_errors=True)
                self._alive.release()
                Path(self._alive.lock_file).unlink(missing_ok=True)

    def stage(self, name: str) -> Path:
        """An empty folder to write one run into.

        Raises:
            OSError: the disk refuses.
        """
        path = self.path / name
        if path.exists():  # what is left of an attempt that failed
            shutil.rmtree(path)
        path.mkdir()
        return path

    def publish(self, stage: Path, folder: RunFolder, before: Stamp | None) -> None:
        """Move a run into place, unless another sweep on the same folder has finished it meanwhile.

        Args:
            stage: where it was written.
            folder: where it goes.
            before: the stamp of the folder when the run was planned.

        Raises:
            OSError: the disk refuses.
        """
        with self._lock:
            if folder.stamp in (None, before):
                folder.path.parent.mkdir(parents=True, exist_ok=True)
                folder.publish(stage)
            else:
                shutil.rmtree(stage)

    def _clear_away(self) -> None:
        """Remove the areas of processes that are gone."""
        for path in self._directory.glob(f"{AREA}*{LOCK}"):
            lock = FileLock(str(path))
            try:
                lock.acquire(timeout=0)
            except Timeout:  # its process lives
                continue
            shutil.rmtree(str(path).removesuffix(LOCK), ignore_errors=True)
            lock.release()
            path.unlink(missing_ok=True)
