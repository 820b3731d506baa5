"""`format=avi`: a lossless video for each clip."""

from __future__ import annotations

from pathlib import Path

from openretina_cli.format.base import Format, Frames, Show
from openretina_cli.format.coding.film import FFV1, read_film, write_film


class Avi(Format):
    """`NAME.avi` for each clip: FFV1, red-green-blue, at the device's rate."""

    colored = True

    def write(self, folder: Path, show: Show) -> None:
        """Write the videos."""
        for index, clip in enumerate(show.clips):
            write_film(folder / f"{clip.name}.avi", map(show.colored, show.film(index)), show.rate, FFV1)

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """Decode the video of a clip."""
        return show.uncolored(read_film(folder / f"{show.clips[index].name}.avi", FFV1))

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The frame of the video."""
        return f"{show.clips[index].name}.avi", frame
