"""Which pictures of a run are wanted, and the one way they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.artifacts.folder import FIGURE, VIDEO
from openretina_cli.artifacts.view import RunView

if TYPE_CHECKING:
    from openretina_cli.artifacts.figure import Composer


@dataclass(frozen=True)
class Pictures:
    """Which pictures are wanted.

    Attributes:
        video: whether the stimulus as an MP4 is.
        video_scale: how values become brightness in it: "symmetric" or "joint", see `colors.to_rgb`.
        figure: the formats in which the figure is: any of "png", "pdf", "svg".
        dpi: pixels per inch of the figure.
    """

    video: bool
    video_scale: str
    figure: tuple[str, ...]
    dpi: int

    @property
    def any(self) -> bool:
        """Whether there is anything to draw."""
        return self.video or bool(self.figure)

    @property
    def names(self) -> tuple[str, ...]:
        """The files that they are written to."""
        return (VIDEO,) * self.video + tuple(f"{FIGURE}.{ending}" for ending in self.figure)

    def absent(self, folder: Path) -> Pictures:
        """Those of the pictures that a folder does not hold."""
        figure = tuple(ending for ending in self.figure if not (folder / f"{FIGURE}.{ending}").exists())
        return replace(self, video=self.video and not (folder / VIDEO).exists(), figure=figure)


def write_pictures(view: RunView, pictures: Pictures, folder: Path, composer: Composer | None = None) -> None:
    """Draw the pictures of a run into a folder, which must exist.

    Args:
        view: the run.
        pictures: which are wanted.
        folder: where to write them.
        composer: who draws the figure; one that is kept draws the next run of the same kind much faster.

    Raises:
        UserError: the stimulus does not have four axes.
        ArtifactError: one could not be drawn or written; the path is named.
    """
    if pictures.video:
        from openretina_cli.artifacts.video import write_video  # PyAV only where a video is wanted

        write_video(view, folder / VIDEO, scale="joint" if pictures.video_scale == "joint" else "symmetric")
    if pictures.figure:
        from openretina_cli.artifacts.figure import write_composition  # likewise matplotlib

        write_composition(view, folder / FIGURE, formats=pictures.figure, dpi=pictures.dpi, composer=composer)
