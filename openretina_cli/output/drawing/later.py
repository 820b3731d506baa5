"""Draws the pictures of finished runs later, from their folders; nothing is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from openretina_cli.config.settings import Settings, current
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.output.base import Picture, Wanted
from openretina_cli.output.chosen import (
    build_outputs,
    drawn_like,
    files_of,
    looks_alike,
    pictures_of,
    stated_outputs,
)
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.drawing.renderer import Renderer
from openretina_cli.output.view import read_view
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.reader import read_result


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

    def count(self, names: Sequence[str], problems: Sequence[str], folder: Path) -> None:
        """Count pictures of a run, some of which could not be made."""
        self.failed += len(problems)
        self.made += len(names) - len(problems)
        self.reasons += [
            reason if str(folder) in reason else f"{folder}: {reason}" for reason in dict.fromkeys(problems)
        ]


def absent(wanted: Wanted, folder: Path) -> Wanted:
    """Those pictures that a folder does not hold."""
    return {name: picture for name, picture in wanted.items() if not (folder / name).exists()}


def draw_folders(
    folders: Sequence[Path],
    wanted: Callable[[Path], Wanted],
    missing: Callable[[Wanted, Path], Wanted],
    renderer: Renderer,
    advance: Callable[[], None] = lambda: None,
) -> Tally:
    """Draw pictures of finished runs from their folders, and wait for them.

    Args:
        folders: of the runs.
        wanted: the pictures that are wanted of the run in a folder.
        missing: those of them that are to be drawn there.
        renderer: draws them.
        advance: is called once for every run.
    """
    tally = Tally()

    def store(folder: Path, pictures: Wanted, drawn: Drawn) -> None:
        tally.count([*pictures], store_pictures(drawn, pictures, RunFolder(folder)), folder)
        advance()

    for folder in folders:
        pictures = missing(every := wanted(folder), folder)
        tally.there += len(every) - len(pictures)
        if not pictures:
            advance()
            continue
        try:
            view = read_view(folder)
        except (OpenRetinaError, OSError) as error:
            tally.count([*pictures], [str(error)] * len(pictures), folder)
            advance()
        else:
            renderer.submit(view, pictures, partial(store, folder, pictures))
    renderer.drain()
    return tally


def own_pictures(settings: Settings, given: Sequence[str]) -> Callable[[Path], Wanted]:
    """Return a function that gives the pictures of the run in a folder, in the looks that the run states.

    Args:
        settings: say which pictures.
        given: overrides among them, `output.figure.dpi=300`, which hold for all runs.

    Raises:
        SettingError: a setting is wrong, or an output is no picture.
        RunError: a class could not be imported, or raised.
    """
    pictures = [output for output in build_outputs(settings) if isinstance(output, Picture)]
    if numbers := settings.output.keys() - {picture.chosen for picture in pictures}:
        raise SettingError(f"output={min(numbers)} is made of numbers, which only a run writes", expected="a picture")
    fixed = {current(word).partition("=")[0].lstrip("+") for word in given}

    def own(folder: Path) -> Wanted:
        try:
            stated = stated_outputs(read_result(folder).settings)
        except ArtifactError:  # told when the pictures are drawn
            stated = {}
        return files_of([drawn_like(item, settings.output[item.chosen], stated, fixed) for item in pictures], Picture)

    return own


def draw_missing(settings: Settings, folders: Sequence[Path], workers: int | None = 0) -> Tally:
    """Draw the pictures that finished runs lack, or that look otherwise there.

    The command that made the runs may have been killed before it drew, or other pictures are asked for now.

    Args:
        settings: say which pictures are wanted.
        folders: of finished runs.
        workers: processes that draw, see `Renderer`.
    """
    wanted = pictures_of(settings)
    lacking = {folder: missing for folder in folders if (missing := _lacking(wanted, folder))}
    with Renderer(workers if lacking else 0) as renderer:
        return draw_folders([*lacking], lacking.__getitem__, lambda pictures, _: pictures, renderer)


def _lacking(wanted: Wanted, folder: Path) -> Wanted:
    result = RunFolder(folder).result or {}
    stated = stated_outputs(result.get("settings"))
    there = absent(wanted, folder)
    return {
        name: picture
        for name, picture in wanted.items()
        if name in there or not looks_alike(picture, stated.get(picture.chosen, {}))
    }
