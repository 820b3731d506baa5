"""Help on options and their settings, read from the comments in the YAML that users compose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from openretina_cli.store.package import own_text

SETTING = re.compile(r"^(?P<indent> *)(?P<key>[\w\"]+):(?: (?P<value>.*?))?(?: +# (?P<comment>.*))?$")
COLUMN = 32
"""Columns of the left part."""

LAUNCHER = "hydra/launcher"
"""Hydra's group for what makes the runs of a sweep."""
TARGET = "_target_"

HIDDEN = ("_self_", "defaults", "hydra")


class Setting(NamedTuple):  # a dataclass would import inspect, for which help would wait 3 ms
    """One commented key of an option's YAML."""

    key: str
    value: str
    help: str


def title_of(path: Path) -> str:
    """What an option is: the first comment in its file that is no instruction to Hydra."""
    for line in own_text(path).splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""


def settings_of(path: Path) -> Iterator[Setting]:
    """The keys of an option, nested ones with dots, in the order of the file."""
    above: list[tuple[int, str]] = []
    for line in own_text(path).splitlines():
        if (match := SETTING.match(line)) is None:
            continue
        indent, key = len(match["indent"]), match["key"].strip('"')
        above = [(depth, name) for depth, name in above if depth < indent]
        name = ".".join([*(name for _, name in above), key])
        above.append((indent, key))
        built_in = key == TARGET and match["comment"] is None  # which class an option is, is no setting of it
        if match["value"] and not built_in and not any(part in HIDDEN for part in name.split(".")):
            yield Setting(name, match["value"], match["comment"] or "")


def defaults_of(path: Path) -> dict[str, str]:
    """The option that is chosen in each group."""
    chosen = re.findall(r"^ +- (\w+): (.+)$", own_text(path), flags=re.MULTILINE)
    return {group: option.replace(", ", ",") for group, option in chosen}


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at blanks; textwrap would take a third of the time of the whole help."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def columns(rows: Iterable[tuple[str, str]], indent: int, width: int) -> Iterator[str]:
    """Two columns; a left entry that is too long stands on a line of its own."""
    for left, right in rows:
        lines = _wrapped(right, max(width - COLUMN - 2, 24))
        head = " " * indent + left
        if len(head) > COLUMN:
            yield head
            head = ""
        yield f"{head:<{COLUMN}}  {lines[0]}".rstrip()
        yield from (" " * (COLUMN + 2) + line for line in lines[1:])


def shown_setting(setting: Setting, prefix: str) -> tuple[str, str]:
    """A setting with its default, as typed after a prefix, and its help."""
    value = "(required)" if setting.value == "???" else f"={setting.value}"
    return f"{prefix}{setting.key}{value}", setting.help


def group_lines(name: str, folders: list[Path], shown: Sequence[str], default: str, width: int) -> Iterator[str]:
    """A group: its options, and the settings of those that are shown in full."""
    files = {path.stem: path for folder in folders for path in sorted((folder / name).glob("*.yaml"))}
    prefix = name.replace("/", ".")
    yield f"\n{name}={default}"
    yield from columns(((stem, title_of(path)) for stem, path in files.items()), 2, width)
    for option in shown:
        if option in files:
            yield from columns(
                (shown_setting(setting, f"{prefix}.") for setting in settings_of(files[option])), 4, width
            )
