"""Make videos and figures of finished runs."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from openretina_cli.artifacts.later_pictures import LaterPictures, Tally
from openretina_cli.artifacts.pictures import Pictures
from openretina_cli.artifacts.rendering import Renderer
from openretina_cli.checks import one_of, require
from openretina_cli.completion import paths, starting
from openretina_cli.config.paths import expand_word
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.finder import find_finished
from openretina_cli.store.names import FORMATS
from openretina_cli.store.reader import read_result
from openretina_cli.store.values import below
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar
from openretina_cli.text import one_line

WRITES_FILES = True
HELP = """\
usage: openretina render DIR [DIR ...] [KEY=VALUE ...]

Make the video and the figure of finished runs, from their folders alone.

  openretina render outputs/sweep                  what is not there yet
  openretina render outputs/sweep figure=[png,pdf] video=false
  openretina render outputs/sweep dpi=300 overwrite=true

A folder is a run, or holds runs at any depth. No model is needed, and a picture
is the same as one made by openretina optimize at once.

  video=true            whether stimulus.mp4 is made
  video_scale=symmetric symmetric: zero at mid-grey; joint: minimum to maximum
  figure=[png]          formats of composition: png, pdf, svg; [] for none
  dpi=160               dots per inch of a png
  workers=2             processes that draw; by default one per core, at most 8
  overwrite=false       whether pictures that are there are made anew

Unless they are given, video_scale and dpi (up to 300) are those of each run.
"""

MOST_WORKERS = 256
MOST_REASONS = 20
"""Lines of reasons; in a broken sweep they are much alike."""


SCALES = ("symmetric", "joint")
DPI = range(20, 1201)
USUAL_DPI = 160
FINEST_OWN = 300
"""Dots per inch that a run's own settings can ask for: 1200 take a gigabyte."""


@dataclass(frozen=True)
class Request:
    """What is asked for; None leaves a choice to the settings of each run, or to the renderer."""

    video: bool = True
    video_scale: str | None = None
    figure: tuple[str, ...] = ("png",)
    dpi: int | None = None
    workers: int | None = None
    overwrite: bool = False

    def pictures(self, folder: Path) -> Pictures:
        """The pictures of a run that are asked for."""
        dpi, scale = self._own(folder)
        usual_dpi = min(dpi, FINEST_OWN) if type(dpi) is int and dpi in DPI else USUAL_DPI
        usual_scale = scale if isinstance(scale, str) and scale in SCALES else SCALES[0]
        return Pictures(self.video, self.video_scale or usual_scale, self.figure, self.dpi or usual_dpi)

    @staticmethod
    def _own(folder: Path) -> tuple[object, object]:
        """The dpi and the video_scale that a run states, whatever they are."""
        try:
            settings = read_result(folder).settings
        except ArtifactError:  # told when the pictures are drawn
            return None, None
        return below(settings, "output.dpi"), below(settings, "output.video_scale")


def _truth(name: str, text: str) -> bool:
    one_of(name, text, ("true", "false"))
    return text == "true"


def _whole(name: str, text: str, allowed: range) -> int:
    fits = text.isascii() and text.isdecimal() and len(text) < 10 and int(text) in allowed
    require(fits, name, text, f"a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _scale(name: str, text: str) -> str:
    one_of(name, text, SCALES)
    return text


def _formats(name: str, text: str) -> tuple[str, ...]:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    endings = tuple(dict.fromkeys(ending.strip() for ending in inside.split(","))) if inside.strip() else ()
    for ending in endings:
        one_of(name, ending, FORMATS)
    return endings


READERS: Mapping[str, Callable[[str, str], Any]] = {
    "video": _truth,
    "video_scale": _scale,
    "figure": _formats,
    "dpi": partial(_whole, allowed=DPI),
    "workers": partial(_whole, allowed=range(MOST_WORKERS + 1)),
    "overwrite": _truth,
}


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders and settings."""
    del before
    yield from paths(word, folders_only=True)
    yield from starting((f"{name}=" for name in READERS), word)


def read_arguments(argv: Sequence[str]) -> tuple[list[Path], Request]:
    """The folders and the settings among the words of a command line.

    Raises:
        SettingError: there is no folder among them, or a setting is not known or has no such value.
    """
    folders = [word for word in argv if Path(word).is_dir() or not ("=" in word or word.startswith("-"))]
    values = {}
    for word in (word for word in argv if word not in folders):
        name, _, text = word.partition("=")
        if name not in READERS:
            raise SettingError(f"render has no setting {name}", expected="one of " + ", ".join(READERS))
        values[name] = READERS[name](name, text)
    if not folders:
        raise SettingError("render needs a folder", expected="DIR [DIR ...]", repair="openretina render outputs")
    return [Path(name) for name in folders], Request(**values)


@contextmanager
def _progress(console: SafeConsole, total: int) -> Iterator[Callable[[], None]]:
    """A bar that counts runs; where there is no terminal, a line that says how many there are."""
    if not console.is_terminal:
        console.print(f"drawing the pictures of {total} run{'s' if total != 1 else ''}")
    done = itertools.count(1)
    with Bar(console, "drawing", total) as bar:
        yield lambda: bar.move(next(done))


def _print_tally(tally: Tally, console: SafeConsole) -> None:
    made = f"{tally.made} picture{'s' if tally.made != 1 else ''} made"
    counts = f"{made}, {tally.there} {'were' if tally.there != 1 else 'was'} there already"
    console.print(f"{counts}, {tally.failed} could not be made", style="bold")
    for reason in tally.reasons[:MOST_REASONS]:
        console.print(one_line(reason), style="yellow", overflow="fold")
    if len(tally.reasons) > MOST_REASONS:
        console.print(f"and {len(tally.reasons) - MOST_REASONS} more")


def run(argv: Sequence[str]) -> None:
    """Run `openretina render` with its arguments.

    Raises:
        SettingError: a folder is not there or holds no finished run, or a setting is wrong.
        ArtifactError: some pictures could not be made; those that could are there.
    """
    folders, request = read_arguments([expand_word(word) for word in argv])
    console = make_console()
    runs = find_finished(folders)
    workers = 0 if request.workers is None and len(runs) == 1 else request.workers
    with _progress(console, len(runs)) as advance, Renderer(workers) as renderer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of letters that no font has and of numbers that overflow
        later = LaterPictures(request.pictures, request.overwrite, renderer, advance)
        later.draw(runs)
    tally = later.tally
    _print_tally(tally, console)
    if tally.failed:
        raise ArtifactError(f"{tally.failed} of {tally.made + tally.failed} pictures could not be made")
