"""Write stimuli for a stimulator, ask the twin again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.completion import paths, starting
from openretina_cli.config.help import columns, group_lines, settings_of, shown_setting
from openretina_cli.config.paths import expand_word
from openretina_cli.errors import SettingError
from openretina_cli.store.package import config_directory
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Stages
from openretina_cli.terminal.tables import facts_table

if TYPE_CHECKING:  # mistakes are told before NumPy is there
    from openretina_cli.export.job import Exported

WRITES_FILES = True
MAXIMUM_WIDTH = 120
STACK = ".npz"
HELP = """\
usage: openretina export DIR [DIR ...] format=NAME out=FOLDER [KEY=VALUE ...]

Write the stimuli of finished runs as a stimulator takes them, and ask the twin
again what it answers to the files. A folder is a run, or holds runs at any
depth; a stimuli.npz can stand for it, with export.ask=false.

  openretina export outputs/sweep format=qdspy out=rig \\
      export.geometry.um_per_pixel=12.5 \\
      export.grey.mean=[37.4,36.1] export.grey.sd=[28.9,39.8]
  openretina export outputs/sweep format=dmd out=rig format.channel=green \\
      export.geometry.factor=40
  openretina export outputs/sweep format=npz out=rig export.protocol.repeats=10

Out come the files of the format, protocol.csv (what every frame is), two
pictures, and export.json: responses of the twin to the optimised stimulus and
to the files, what was clipped, and digests. The folder appears whole or not at
all. Values beyond 0 to 255 are refused unless export.gamut says what to do, and
so is a stimulus that loses more than export.tolerance of its response.
"""


def _formats() -> list[str]:
    return sorted(path.stem for path in (config_directory() / "format").glob("*.yaml"))


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples, and every setting."""
    del argv
    width = min(shutil.get_terminal_size((80, 24)).columns, MAXIMUM_WIDTH)
    folder = config_directory()
    rows = (shown_setting(setting, "") for setting in settings_of(folder / "export.yaml"))
    lines = [HELP, "Settings", *columns(rows, 2, width)]
    return "\n".join([*lines, *group_lines("format", [folder], _formats(), "(required)", width), ""])


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders, stacks of stimuli, formats and settings."""
    folder = config_directory()
    if word.startswith("out="):
        yield from (f"out={path}" for path in paths(word.removeprefix("out="), folders_only=True))
    yield from (path for path in paths(word, folders_only=False) if path.endswith(("/", STACK)))
    yield from starting((f"format={name}" for name in _formats()), word)
    chosen = [text.removeprefix("format=") for text in before if text.startswith("format=")]
    keys = [setting.key for setting in settings_of(folder / "export.yaml")]
    for name in set(chosen[-1:]) & set(_formats()):
        keys += [f"format.{setting.key}" for setting in settings_of(folder / "format" / f"{name}.yaml")]
    yield from starting((f"{key}=" for key in keys), word)


def _is_place(word: str) -> bool:
    return Path(word).is_dir() or Path(word).is_file() or not ("=" in word or word.startswith("-"))


def _split(argv: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The places and the settings among the words; the word after --config-dir is none of the places.

    Raises:
        SettingError: there is no place among them, or one is no folder and no stack.
    """
    places: list[Path] = []
    words: list[str] = []
    for number, word in enumerate(argv):
        after_flag = number > 0 and argv[number - 1] in ("--config-dir", "-cd")
        if after_flag or not _is_place(word):
            words.append(word)
        else:
            places.append(Path(word))
    if not places:
        raise SettingError("export needs a folder", expected="DIR [DIR ...]", repair="openretina export outputs")
    for place in places:
        if place.is_file() and place.suffix != STACK:
            raise SettingError(f"{place} is a file", expected="a folder with finished runs, or a stimuli.npz")
    return places, words


def run(argv: Sequence[str]) -> None:
    """Run `openretina export` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or an export that failed and left nothing.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    places, words = _split([expand_word(word) for word in argv])
    from openretina_cli.export.settings import compose_export

    settings = compose_export(words, _formats())
    from openretina_cli.export.job import export

    console = make_console()
    with Stages(console) as report:
        done = export(places, settings, report)
    _print(done, console)


def _shares(done: Exported) -> str:
    """The share of values beyond the display, by channel, and how many clips have some."""
    overflow, channels = done.presentation.overflow, done.presentation.show.channels
    if not any(map(any, (item.shares for item in overflow))):
        return "none"
    means = [sum(item.shares[place] for item in overflow) / len(overflow) for place in range(len(channels))]
    shown = ", ".join(f"{name} {mean:.2%}" for name, mean in zip(channels, means, strict=True))
    return f"{shown}, in {sum(any(item.shares) for item in overflow)} of {len(overflow)} clips"


def _hidden(done: Exported) -> str:
    """What of the stimuli is in channels that the format does not show; empty where nothing is."""
    shares = [item.hidden for item in done.comparisons if item.hidden]
    return f"{max(shares):.0%} of the squared norm at most, in {len(shares)} stimuli" if shares else ""


def _losses(done: Exported) -> str:
    """Mean and largest loss of response, with the run."""
    answers = [(item.answer.loss, number) for number, item in enumerate(done.comparisons) if item.answer is not None]
    if not answers:
        return "not asked (export.ask=false)"
    worst, number = max(answers)
    names = [clip.run for clip in done.presentation.show.clips if clip.kind == "stimulus"]
    mean = sum(loss for loss, _ in answers) / len(answers)
    return f"mean {mean:.2%}, largest {worst:.2%} ({names[number]})"


def _print(done: Exported, console: SafeConsole) -> None:
    show, geometry = done.presentation.show, done.presentation.geometry
    trials = sum(trial.clip is not None for trial in show.trials)
    seconds = sum(trial.length for trial in show.trials) / show.rate
    um = "" if show.pixel_size is None else f", {show.pixel_size:.4g} um each"
    repeated = sorted({*geometry.rows.tolist(), *geometry.columns.tolist()})
    uneven = f"pixels are no whole multiple: each becomes {' or '.join(map(str, repeated))} device pixels"
    levels = zip(show.channels, show.background, strict=True)
    scaled = [item.factor for item in done.presentation.overflow if item.factor < 1]
    rows = [
        ("clips", f"{len(show.clips)}, {trials} trials, {seconds:.1f} s at {show.rate:g} Hz"),
        ("frames", f"{show.size[0]} x {show.size[1]} pixels{um}"),
        ("warning", uneven if len(repeated) > 1 else ""),
        ("warning", "pixels at the edge are cropped" if geometry.cropped else ""),
        ("background", ", ".join(f"{name} {level}" for name, level in levels)),
        ("beyond display", _shares(done)),
        ("scaled", f"{len(scaled)} clips, by {min(scaled):.3f} to {max(scaled):.3f}" if scaled else ""),
        ("not shown", _hidden(done)),
        ("loss of response", _losses(done)),
        ("files", f"{done.files}, with export.json and protocol.csv"),
        ("folder", str(done.folder)),
    ]
    console.print(facts_table([row for row in rows if row[1]]))
