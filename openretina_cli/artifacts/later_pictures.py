"""Draws the pictures of finished runs later, from their folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from openretina_cli.artifacts.folder import RunFolder
from openretina_cli.artifacts.picture_files import store_pictures
from openretina_cli.artifacts.pictures import Drawn, Pictures
from openretina_cli.artifacts.rendering import Renderer
from openretina_cli.artifacts.saved_run import read_view
from openretina_cli.errors import OpenRetinaError


@dataclass
class Tally:
    """What came of the pictures.

    Attributes:
        made: pictures that were made.
        there: pictures that were there already.
        failed: pictures that could not be made.
        reasons: why not, a line per picture.
    """

    made: int = 0
    there: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)


class LaterPictures:
    """Draws pictures of finished runs from their folders.

    Args:
        wanted: the pictures that are wanted of the run in a folder.
        overwrite: whether those that are there are drawn anew.
        renderer: draws them.
        advance: is called once for every run.
    """

    def __init__(
        self, wanted: Callable[[Path], Pictures], overwrite: bool, renderer: Renderer, advance: Callable[[], None]
    ) -> None:
        self.tally = Tally()
        self._wanted, self._overwrite, self._renderer, self._advance = wanted, overwrite, renderer, advance

    def draw(self, folders: Sequence[Path]) -> None:
        """Draw the pictures of runs, and wait for them."""
        for folder in folders:
            self._draw(folder)
        self._renderer.drain()

    def _draw(self, folder: Path) -> None:
        wanted = self._wanted(folder)
        missing = wanted if self._overwrite else wanted.absent(folder)
        self.tally.there += len(wanted.names) - len(missing.names)
        if not missing.any:
            self._advance()
            return
        try:
            view = read_view(folder)
        except (OpenRetinaError, OSError) as error:
            self._count(missing, [str(error)] * len(missing.names), folder)
            return
        self._renderer.submit(view, missing, partial(self._store, folder, missing))

    def _store(self, folder: Path, pictures: Pictures, drawn: Drawn) -> None:
        self._count(pictures, store_pictures(drawn, pictures, RunFolder(folder)), folder)

    def _count(self, pictures: Pictures, problems: Sequence[str], folder: Path) -> None:
        self.tally.failed += len(problems)
        self.tally.made += len(pictures.names) - len(problems)
        for reason in dict.fromkeys(problems):
            self.tally.reasons.append(reason if str(folder) in reason else f"{folder}: {reason}")
        self._advance()
