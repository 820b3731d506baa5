"""The pictures that settings ask for, and those of them that finished runs lack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openretina_cli.artifacts.later_pictures import LaterPictures, Tally
from openretina_cli.artifacts.pictures import Pictures
from openretina_cli.artifacts.rendering import Renderer
from openretina_cli.config.settings import Output


def pictures_of(output: Output) -> Pictures:
    """The pictures that the settings ask for."""
    return Pictures(output.video, output.video_scale, tuple(output.figure), output.dpi)


def draw_missing(output: Output, folders: Sequence[Path], workers: int | None = 0) -> Tally:
    """Draw the pictures that finished runs lack: the command that made the runs may have been killed before it drew.

    Args:
        output: says which pictures are wanted.
        folders: of finished runs.
        workers: processes that draw, see `Renderer`.
    """
    wanted = pictures_of(output)
    lacking = [folder for folder in folders if wanted.absent(folder).any]
    with Renderer(workers if lacking else 0) as renderer:
        later = LaterPictures(lambda _: wanted, False, renderer, lambda: None)
        later.draw(lacking)
    return later.tally
