"""`format=png`: a folder of pictures for each clip."""

from __future__ import annotations

from pathlib import Path

from openretina_cli.format.base import Format, Frames, Show
from openretina_cli.format.coding.film import PNG, read_film, write_film

PATTERN = "%06d.png"


class Png(Format):
    """`NAME/000000.png` and so on for each clip: a picture for every device frame, 8 bits of red, green and blue."""

    colored = True

    def write(self, folder: Path, show: Show) -> None:
        """Write the pictures."""
        for index, clip in enumerate(show.clips):
            (folder / clip.name).mkdir()
            write_film(folder / clip.name / PATTERN, map(show.colored, show.film(index)), show.rate, PNG)

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """Decode the pictures of a clip."""
        return show.uncolored(read_film(folder / show.clips[index].name / PATTERN, PNG))

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """A file for every frame, with one frame in it."""
        return f"{show.clips[index].name}/{PATTERN % frame}", 0
