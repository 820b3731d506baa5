"""The folder of `openretina probe`: numbers appear together, and what an interrupted command has found is kept."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.aside import write_whole
from openretina_cli.store.files import RefusedError, read_bytes, read_mapping, refusing
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import is_plain
from openretina_cli.store.values import texts

RECORD, ARRAYS, TABLE = "probe.json", "probe.npz", "probe.csv"
PARTS = "unfinished"
IDENTITY = "identity"
MOST_BYTES = 2**32
"""Size of the largest array file that is read; that of 204 cells with all probes takes 80 MB."""

Arrays = Mapping[str, NDArray[np.generic]]


class ProbeFolder:
    """Where results go.

    Args:
        path: the folder; it need not exist.
        overwrite: whether results of other settings are replaced.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self._folder = RunFolder(path)
        self.path = self._folder.path
        self._overwrite = overwrite
        self._identity: Mapping[str, Any] = {}

    def check(self) -> None:
        """Find out before any work whether the folder can be written.

        Raises:
            SettingError: it cannot, or holds something else.
        """
        self._folder.check()
        if self.path.is_dir():
            names = sorted(path.name for path in self.path.iterdir() if not path.name.startswith("."))
            if names and not {RECORD, PARTS}.intersection(names):
                raise SettingError(f"out={self.path} holds {names[0]}", expected="an empty folder, or none yet")

    def open(self, identity: Mapping[str, Any]) -> None:
        """State what the results will be of, and remove what is there of something else.

        Args:
            identity: everything that shapes the numbers, as JSON holds it.

        Raises:
            SettingError: the folder holds finished results of something else, and is not to be overwritten.
        """
        self._identity = json.loads(json.dumps(identity))
        if (self.path / RECORD).is_file() and (self._overwrite or not self.finished):
            if not self._overwrite:
                raise SettingError(
                    f"out={self.path} holds results of other settings", repair="another out=, or overwrite=true"
                )
            self._clear()

    @property
    def finished(self) -> bool:
        """Whether the folder holds the numbers."""
        with suppress(ArtifactError):
            return bool(read_mapping(self.path / RECORD).get(IDENTITY) == self._identity)
        return False

    def lists(self, names: Iterable[str]) -> bool:
        """Whether the record is that of these results, and names these files, so that they are removed with it."""
        return self.finished and set(names) <= set(self._listed())

    def _listed(self) -> list[str]:
        with suppress(ArtifactError):
            return [name for name in texts(read_mapping(self.path / RECORD).get("files")) or () if is_plain(name)]
        return []

    def _clear(self) -> None:
        """Remove earlier results, their record first."""
        listed = self._listed()
        for name in (RECORD, *listed):
            (self.path / name).unlink(missing_ok=True)

    def known(self, name: str) -> dict[str, NDArray[np.generic]] | None:
        """What an interrupted command kept under a name; None where it kept nothing, or of something else."""
        path = self.path / PARTS / f"{name}.npz"
        if not path.is_file():
            return None
        with suppress(ArtifactError), refusing(path, "arrays"):
            found = _read_arrays(path)
            if json.loads(str(found.pop(IDENTITY))) == self._identity:
                return found
        return None

    def keep(self, name: str, arrays: Arrays) -> None:
        """Keep what was found, for a command that goes on after an interruption.

        Raises:
            ArtifactError: the file could not be written.
        """
        identity = np.array(json.dumps(self._identity))
        with self._folder.explained(ArtifactError):
            (self.path / PARTS).mkdir(parents=True, exist_ok=True)
            write_whole(self.path / PARTS, {f"{name}.npz": _array_bytes({**arrays, IDENTITY: identity})})

    def write(self, arrays: Arrays, table: str, record: Mapping[str, Any]) -> None:
        """Write all numbers, the record last.

        Raises:
            ArtifactError: a file could not be written; none of them appears then.
        """
        content = json_bytes({**record, IDENTITY: self._identity})
        with self._folder.explained(ArtifactError):
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, {ARRAYS: _array_bytes(arrays), TABLE: table.encode(), RECORD: content})

    def add(self, name: str, content: bytes) -> None:
        """Write a figure.

        Raises:
            ArtifactError: the file could not be written.
        """
        with self._folder.explained(ArtifactError):
            write_whole(self.path, {name: content})

    def figure(self, name: str) -> bytes:
        """A figure that was written.

        Raises:
            ArtifactError: it cannot be read.
        """
        path = self.path / name
        with refusing(path, "a figure"):
            return read_bytes(path, MOST_BYTES)

    def close(self) -> None:
        """Remove what was kept for an interruption."""
        shutil.rmtree(self.path / PARTS, ignore_errors=True)


def _array_bytes(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
    return content.getvalue()


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of a file, which allocate no more than the file holds.

    Raises:
        RefusedError: the file is compressed, or too large.
    """
    content = read_bytes(path, MOST_BYTES)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise RefusedError("it is compressed")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
