"""Where the runs of a sweep are written before they move into place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openretina_cli.store.aside import aside
from openretina_cli.store.folder import FinishedMeanwhileError, RunFolder, Stamp


class Area:
    """A folder of one process inside a sweep's folder, on the same disk.

    Args:
        path: the folder for what is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def stage(self, name: str) -> Path:
        """An empty folder to write one run into.

        Raises:
            OSError: the disk refuses.
        """
        path = self._path / name
        if path.exists():  # what is left of an attempt that failed
            shutil.rmtree(path)
        path.mkdir()
        return path

    def publish(self, place: Path, folder: RunFolder, before: Stamp | None) -> None:
        """Move a run into place, unless another sweep on the same folder has finished it meanwhile.

        Args:
            place: where it was written.
            folder: where it goes.
            before: the stamp of the folder when the run was planned.

        Raises:
            OSError: the disk refuses.
        """
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.publish(place, before)
        except FinishedMeanwhileError:
            shutil.rmtree(place)


@contextmanager
def area(directory: Path) -> Iterator[Area]:
    """Make the area of a sweep, and remove it at the end with whatever was not moved into place.

    Raises:
        OSError: the disk refuses.
    """
    with aside(directory, "sweep") as path:
        yield Area(path)
