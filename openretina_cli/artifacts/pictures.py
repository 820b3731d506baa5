"""Which pictures of a run are wanted, and the one way they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import OpenRetinaError
from openretina_cli.store.names import FIGURE, VIDEO

if TYPE_CHECKING:
    from openretina_cli.artifacts.figure import Composer

LONGEST_REASON = 300
"""Characters of a reason that are kept; a library may name all that it knows."""


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


@dataclass(frozen=True)
class Drawn:
    """Pictures of a run as bytes.

    Attributes:
        files: content of the files that could be drawn, by name.
        problems: why others could not be drawn, by name.
    """

    files: Mapping[str, bytes]
    problems: Mapping[str, str]

    @classmethod
    def none(cls, pictures: Pictures, problem: str) -> Drawn:
        """No picture, for one and the same reason."""
        return cls({}, dict.fromkeys(pictures.names, problem))


def new_composer(pictures: Pictures) -> Composer | None:
    """A composer, if a figure is wanted: matplotlib is not imported for a video."""
    if not pictures.figure:
        return None
    from openretina_cli.artifacts.figure import Composer

    return Composer()


def draw_pictures(view: RunView, pictures: Pictures, composer: Composer | None = None) -> Drawn:
    """Draw the pictures of a run; one that cannot be drawn does not keep the others from being drawn.

    Args:
        view: the run.
        pictures: which are wanted.
        composer: draws the figure; one that is kept draws the next run of the same kind much faster.
    """
    files: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for name, encode in _encoders(view, pictures, composer):
        try:
            files[name] = encode()
        except Exception as error:  # whatever a library of pictures raises, the numbers of the run are sound
            problems[name] = _reason(error)
    return Drawn(files, problems)


def _reason(error: Exception) -> str:
    if isinstance(error, OpenRetinaError):
        return str(error)
    text = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:LONGEST_REASON]


def _encoders(
    view: RunView, pictures: Pictures, composer: Composer | None
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if pictures.video:
        yield VIDEO, partial(_video, view, pictures.video_scale)
    for ending in pictures.figure:
        yield f"{FIGURE}.{ending}", partial(_figure, view, ending, pictures.dpi, composer)


def _video(view: RunView, scale: str) -> bytes:
    from openretina_cli.artifacts.video import encode_video  # PyAV only where a video is wanted

    return encode_video(view, scale="joint" if scale == "joint" else "symmetric")


def _figure(view: RunView, ending: str, dpi: int, composer: Composer | None) -> bytes:
    from openretina_cli.artifacts.figure import Composer  # likewise matplotlib

    return (composer or Composer()).encode(view, ending, dpi)
