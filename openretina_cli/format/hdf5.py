"""`format=hdf5`: all clips in one file of HDF5."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

from openretina_cli.checks import require
from openretina_cli.format.base import Format, Frames, Show, needed

FILE = "stimuli.h5"


class _Patient(FileIO):
    """A file that keeps an error of its writes until it is asked: HDF5 crashes the process where a write fails."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it, or nothing once a write has failed."""
        rest = memoryview(data).cast("B")
        try:
            while len(rest) and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def check(self) -> None:
        """Raise the error that was kept.

        Raises:
            OSError: a write has failed.
        """
        if self.error is not None:
            raise self.error

    def __exit__(self, *_: object) -> None:
        """Close the file, and raise the error that was kept."""
        self.close()
        self.check()


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
        with _Patient(folder / FILE, "w+") as place, needed("h5py", "hdf5").File(place, "w") as file:
            file.attrs["channels"] = [*show.channels]
            file.attrs["background"] = [*show.background]
            file.attrs["rate_hz"] = show.rate
            for index, clip in enumerate(show.clips):
                film = show.whole_film(index)
                how = {"chunks": (1, *film.shape[1:]), "compression": self.compression or None}
                data = file.create_dataset(f"stimuli/{clip.name}", data=film, **how)
                data.attrs["axes"] = ["time", "height", "width", "channel"]
                data.attrs["kind"], data.attrs["run"], data.attrs["position_um"] = clip.kind, clip.run, clip.position
                file.flush()
                place.check()

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The dataset of a clip."""
        with needed("h5py", "hdf5").File(folder / FILE, "r") as file:
            found: Frames = file[f"stimuli/{show.clips[index].name}"][()]
        return found

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The dataset, after the name of the file."""
        return f"{FILE}:stimuli/{show.clips[index].name}", frame
