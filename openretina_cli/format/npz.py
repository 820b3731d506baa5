"""`format=npz`: all clips in one file of NumPy's."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.format.base import Format, Frames, Show

FILE = "stimuli.npz"
AXES = ("time", "height", "width", "channel")


class Npz(Format):
    """`stimuli.npz`: an array uint8 `(time, height, width, channel)` under the name of each clip.

    `axes`, `clips` (the names, in the order of protocol.csv), `channels`, `background` and `rate_hz` say what they are.
    The file is written clip by clip, and `np.load` reads from it only what is asked for.
    """

    def write(self, folder: Path, show: Show) -> None:
        """Write the file."""
        facts: dict[str, NDArray[np.generic]] = {
            "axes": np.array(AXES),
            "clips": np.array([clip.name for clip in show.clips]),
            "channels": np.array(show.channels),
            "background": np.array(show.background, np.uint8),
            "rate_hz": np.array(show.rate),
        }
        with zipfile.ZipFile(folder / FILE, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, values in facts.items():
                _write(archive, name, values)
            for index, clip in enumerate(show.clips):
                _write(archive, clip.name, show.whole_film(index))

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The array of a clip."""
        with zipfile.ZipFile(folder / FILE) as archive, archive.open(f"{show.clips[index].name}.npy") as member:
            found: Frames = np.lib.format.read_array(member, allow_pickle=False)
        return found

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The array, after the name of the file."""
        return f"{FILE}:{show.clips[index].name}", frame


def _write(archive: zipfile.ZipFile, name: str, values: NDArray[np.generic]) -> None:
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
