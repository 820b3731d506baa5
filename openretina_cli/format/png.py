"""`format=png`: a folder of pictures for each clip."""

from __future__ import annotations

from pathlib import Path

from openretina_cli.format.base import Show
from openretina_cli.format.coding.film import PNG, Films

PATTERN = "%06d.png"


class Png(Films):
    """`NAME/000000.png` and so on for each clip: a picture for every device frame, 8 bits of red, green and blue."""

    coding = PNG

    def file(self, folder: Path, name: str) -> Path:
        """The pattern of the pictures' names."""
        return folder / name / PATTERN

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """A file for every frame, with one frame in it."""
        return f"{show.clips[index].name}/{PATTERN % frame}", 0
