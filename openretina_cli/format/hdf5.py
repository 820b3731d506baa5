"""`format=hdf5`: all clips in one file of HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from openretina_cli.checks import require
from openretina_cli.format.base import Format, Frames, Show, needed

FILE = "stimuli.h5"


class Hdf5(Format):
    """`stimuli.h5`: a dataset uint8 `(time, height, width, channel)` under `stimuli/NAME` for each clip.

    A chunk is one frame, so that a stimulator reads frame by frame. Attributes of the file are `channels`,
    `background` and `rate_hz`; of a dataset `axes`, `kind`, `run` and `position_um`.

    Args:
        compression: level of gzip from 0 (none) to 9.

    Raises:
        SettingError: the level is out of range.
    """

    packages: ClassVar[dict[str, str]] = {"h5py": "hdf5"}

    def __init__(self, compression: int = 1) -> None:
        require(0 <= compression <= 9, "compression", compression, "a level from 0 to 9")
        self.compression = compression

    def write(self, folder: Path, show: Show) -> None:
        """Write the file."""
        with needed("h5py", "hdf5").File(folder / FILE, "w") as file:
            file.attrs["channels"] = [*show.channels]
            file.attrs["background"] = [*show.background]
            file.attrs["rate_hz"] = show.rate
            for index, clip in enumerate(show.clips):
                film = show.whole_film(index)
                how = {"chunks": (1, *film.shape[1:]), "compression": self.compression or None}
                data = file.create_dataset(f"stimuli/{clip.name}", data=film, **how)
                data.attrs["axes"] = ["time", "height", "width", "channel"]
                data.attrs["kind"], data.attrs["run"], data.attrs["position_um"] = clip.kind, clip.run, clip.position

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The dataset of a clip."""
        with needed("h5py", "hdf5").File(folder / FILE, "r") as file:
            found: Frames = file[f"stimuli/{show.clips[index].name}"][()]
        return found

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The dataset, after the name of the file."""
        return f"{FILE}:stimuli/{show.clips[index].name}", frame
