"""Make videos and figures of finished runs."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.checks import one_of, require
from openretina_cli.completion import paths, settings, starting
from openretina_cli.config.paths import expand_word
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.finder import find_finished
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from openretina_cli.output.drawing.later import Tally

WRITES_FILES = True
HELP = """\
usage: openretina render DIR [DIR ...] [KEY=VALUE ...]

Make the video and the figure of finished runs, from their folders alone.

  openretina render outputs/sweep                  what is not there yet
  openretina render outputs/sweep figure=[png,pdf] video=false
  openretina render outputs/sweep dpi=300 overwrite=true
  openretina render outputs/sweep output=[mine]    a picture of your own

A folder is a run, or holds runs at any depth. No model is needed, and a picture
is the same as one made by openretina optimize at once.

  output=[video,figure] which pictures; output.NAME.KEY=VALUE as in
                        openretina optimize --help, --config-dir=DIR for yours
  video=true            whether stimulus.mp4 is made
  video_scale=symmetric symmetric: zero at mid-grey; joint: minimum to maximum
  figure=[png]          formats of composition: png, pdf, svg; [] for none
  dpi=160               dots per inch of a png
  workers=2             processes that draw; by default one per core, at most 8
  overwrite=false       whether pictures that are there are made anew

Unless they are given, the looks of a picture (video_scale, and dpi up to 300)
are those of each run.
"""

MOST_WORKERS = 256
MOST_REASONS = 20
"""Lines of reasons; in a broken sweep they are much alike."""

SHORT = ("video_scale", "figure", "dpi")
"""Settings of pictures that are typed without `output.`"""
NAMES = ("output", "video", *SHORT, "workers", "overwrite")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        words: overrides of the group `output`, as `openretina optimize` takes them.
        workers: processes that draw; None leaves their number to the renderer.
        overwrite: whether pictures that are there are made anew.
    """

    words: tuple[str, ...] = ("output=[video,figure]",)
    workers: int | None = None
    overwrite: bool = False


def _truth(name: str, given: Mapping[str, str], default: str = "true") -> bool:
    one_of(name, given.get(name, default), ("true", "false"))
    return given.get(name, default) == "true"


def _workers(text: str) -> int:
    fits = text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= MOST_WORKERS
    require(fits, "workers", text, f"a whole number from 0 to {MOST_WORKERS}")
    return int(text)


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders and settings."""
    if word.startswith("output"):
        yield from settings(before, word)
    yield from paths(word, folders_only=True)
    yield from starting((f"{name}=" for name in NAMES), word)


def _override(word: str) -> str:
    """The override of `openretina optimize` that a word stands for.

    Raises:
        SettingError: the word is no setting of this verb.
    """
    name, equals, text = word.partition("=")
    if name in SHORT and equals:
        one = name == "figure" and not text.startswith("[")
        return f"output.{name}=[{text}]" if one else f"output.{word}"
    if name.lstrip("+").partition(".")[0] != "output" and name != "--config-dir":
        raise SettingError(f"render has no setting {name}", expected="one of " + ", ".join(NAMES))
    return word


def read_arguments(argv: Sequence[str]) -> tuple[list[Path], Request]:
    """The folders and the settings among the words of a command line.

    Raises:
        SettingError: there is no folder among them, or a setting is not known or has no such value.
    """
    folders = [word for word in argv if Path(word).is_dir() or not ("=" in word or word.startswith("-"))]
    given = [word for word in argv if word not in folders]
    own = {name: text for name, _, text in (word.partition("=") for word in given)}
    words = [_override(word) for word in given if word.partition("=")[0] not in ("video", "workers", "overwrite")]
    if "output" in own:
        require("video" not in own, "video", own.get("video"), f"no other choice beside output={own['output']}")
    else:
        words.insert(0, "output=[video,figure]" if _truth("video", own) else "output=[figure]")
    overwrite, workers = _truth("overwrite", own, "false"), _workers(own["workers"]) if "workers" in own else None
    if not folders:
        raise SettingError("render needs a folder", expected="DIR [DIR ...]", repair="openretina render outputs")
    return [Path(name) for name in folders], Request(tuple(words), workers, overwrite)


@contextmanager
def _progress(console: SafeConsole, total: int) -> Iterator[Callable[[], None]]:
    """A bar that counts runs; where there is no terminal, a line that says how many there are."""
    if not console.is_terminal:
        console.print(f"drawing the pictures of {total} run{'s' if total != 1 else ''}")
    done = itertools.count(1)
    with Bar(console, "drawing", total) as bar:
        yield lambda: bar.move(next(done))


def _print_tally(tally: Tally, there: int, console: SafeConsole) -> None:
    made = f"{tally.made} picture{'s' if tally.made != 1 else ''} made"
    counts = f"{made}, {there} {'were' if there != 1 else 'was'} there already"
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
        Exception: an error of Hydra's about an override, which `config.errors.explain` puts into a sentence.
    """
    folders, request = read_arguments([expand_word(word) for word in argv])
    from openretina_cli.config.compose import compose_settings
    from openretina_cli.output.drawing.later import absent, draw_folders, own_pictures
    from openretina_cli.output.drawing.renderer import Renderer

    console = make_console()
    wanted = own_pictures(compose_settings(request.words), request.words)
    runs = find_finished(folders)
    workers = 0 if request.workers is None and len(runs) == 1 else request.workers
    with _progress(console, len(runs)) as advance, Renderer(workers) as renderer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of letters that no font has and of numbers that overflow
        every = {folder: wanted(folder) for folder in runs}
        todo = every if request.overwrite else {folder: absent(pictures, folder) for folder, pictures in every.items()}
        tally = draw_folders(todo.items(), renderer, advance)
    _print_tally(tally, sum(map(len, every.values())) - sum(map(len, todo.values())), console)
    if tally.failed:
        raise ArtifactError(f"{tally.failed} of {tally.made + tally.failed} pictures could not be made")
