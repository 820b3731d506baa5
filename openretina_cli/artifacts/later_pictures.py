"""Draws the pictures of finished runs later, from their folders."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openretina_cli.artifacts.pictures import Pictures
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
        reasons: why not, a line per run.
    """

    made: int = 0
    there: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)


class LaterPictures:
    """Draws pictures of finished runs, each aside, from where it moves into its run's folder when it is whole.

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
        self._asides: set[Path] = set()

    def draw(self, folders: Sequence[Path]) -> None:
        """Draw the pictures of runs, and wait for them; nothing is left aside, however it ends."""
        try:
            for folder in folders:
                self._draw(folder)
            self._renderer.drain()
        finally:
            for aside in self._asides:
                shutil.rmtree(aside, ignore_errors=True)

    def _draw(self, folder: Path) -> None:
        wanted = self._wanted(folder)
        missing = wanted if self._overwrite else wanted.absent(folder)
        self.tally.there += len(wanted.names) - len(missing.names)
        if not missing.any:
            self._advance()
            return
        aside = folder / f".render-{uuid.uuid4().hex[:8]}"

        def done(error: BaseException | None) -> None:
            self._publish(folder, aside, missing, error)

        try:
            view = read_view(folder)
            aside.mkdir()
        except (OpenRetinaError, OSError) as error:
            done(error)
            return
        self._asides.add(aside)
        self._renderer.submit(view, missing, aside, done)

    def _publish(self, folder: Path, aside: Path, pictures: Pictures, error: BaseException | None) -> None:
        try:
            if error is not None:
                raise error
            for name in pictures.names:
                (aside / name).replace(folder / name)
            self.tally.made += len(pictures.names)
        except (OpenRetinaError, OSError) as problem:
            reason = str(problem).replace(str(aside), str(folder))
            self.tally.failed += len(pictures.names)
            self.tally.reasons.append(reason if str(folder) in reason else f"{folder}: {reason}")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            self._asides.discard(aside)
            self._advance()
