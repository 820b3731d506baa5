"""Draws the pictures of finished runs later, from their folders; nothing is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from openretina_cli.config.settings import Settings, current
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.output.base import Picture, Wanted
from openretina_cli.output.chosen import (
    build_outputs,
    drawn_like,
    looks_alike,
    pictures,
    pictures_of,
    stated_outputs,
)
from openretina_cli.output.drawing.draw import Drawn
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.drawing.renderer import Renderer
from openretina_cli.output.view import read_view
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.result import read_result
from openretina_cli.store.starts import labels_of


@dataclass
class Tally:
    """What came of the pictures.

    Attributes:
        made: pictures that were made.
        failed: pictures that could not be made.
        reasons: why not, a line per picture.
    """

    made: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)


def absent(wanted: Wanted, folder: Path) -> Wanted:
    """Those pictures that a folder does not hold."""
    return {name: picture for name, picture in wanted.items() if not (folder / name).exists()}


def draw_folders(
    runs: Iterable[tuple[Path, Wanted]], renderer: Renderer, advance: Callable[[], None] = lambda: None
) -> Tally:
    """Draw pictures of finished runs from their folders, and wait for them.

    Args:
        runs: the folder of each run, and its pictures that are to be drawn.
        renderer: draws them.
        advance: is called once for every run.
    """
    tally = Tally()

    def count(folder: Path, wanted: Wanted, problems: Sequence[str]) -> None:
        tally.failed += len(problems)
        tally.made += len(wanted) - len(problems)
        own = (problem if str(folder) in problem else f"{folder}: {problem}" for problem in dict.fromkeys(problems))
        tally.reasons += own
        advance()

    for folder, wanted in runs:
        try:
            view = read_view(folder) if wanted else None
        except (OpenRetinaError, OSError) as error:
            count(folder, wanted, [str(error)] * len(wanted))
            continue
        if view is None:
            advance()
        else:
            renderer.submit(view, wanted, partial(_store, folder, wanted, count))
    renderer.drain()
    return tally


def _store(folder: Path, wanted: Wanted, count: Callable[[Path, Wanted, Sequence[str]], None], drawn: Drawn) -> None:
    count(folder, wanted, store_pictures(drawn, wanted, RunFolder(folder)))


def own_pictures(settings: Settings, given: Sequence[str]) -> Callable[[Path], Wanted]:
    """Return a function that gives the pictures of the run in a folder, in the looks that the run states.

    Args:
        settings: say which pictures.
        given: overrides among them, `output.figure.dpi=300`, which hold for all runs.

    Raises:
        SettingError: a setting is wrong, or an output is no picture.
        RunError: a class could not be imported, or raised.
    """
    chosen = [output for output in build_outputs(settings) if isinstance(output, Picture)]
    if numbers := settings.output.keys() - {picture.chosen for picture in chosen}:
        raise SettingError(f"output={min(numbers)} is made of numbers, which only a run writes", expected="a picture")
    fixed = {current(word).partition("=")[0].lstrip("+") for word in given}

    def own(folder: Path) -> Wanted:
        try:
            tree = read_result(folder).tree
        except ArtifactError:  # told when the pictures are drawn
            tree = {}
        stated = stated_outputs(tree.get("settings"))
        own_looks = [drawn_like(item, settings.output[item.chosen], stated, fixed) for item in chosen]
        return pictures(own_looks, of_set=bool(labels_of(tree)))

    return own


def draw_missing(settings: Settings, folders: Sequence[Path], workers: int | None = 0) -> Tally:
    """Draw the pictures that finished runs lack, or that look otherwise there.

    The command that made the runs may have been killed before it drew, or other pictures are asked for now.

    Args:
        settings: say which pictures are wanted.
        folders: of finished runs.
        workers: processes that draw, see `Renderer`.
    """
    lacking = [(folder, missing) for folder in folders if (missing := _lacking(settings, folder))]
    with Renderer(workers if lacking else 0) as renderer:
        return draw_folders(lacking, renderer)


def _lacking(settings: Settings, folder: Path) -> Wanted:
    result = RunFolder(folder).result or {}
    wanted, stated = pictures_of(settings, bool(labels_of(result))), stated_outputs(result.get("settings"))
    alike = {name: item for name, item in wanted.items() if looks_alike(item, stated.get(item.chosen, {}))}
    return {**{name: item for name, item in wanted.items() if name not in alike}, **absent(alike, folder)}
