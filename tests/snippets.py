"""The code blocks of Markdown pages, and the comments that say how each is run.

A comment stands in the line before a block, and gives its reason: `<!-- not run: needs a cluster -->`, `<!-- fails: the
option is misspelt -->`; or the file that the block is, `<!-- file: my_objectives.py -->`; or a command that the block
takes for granted, `<!-- first: openretina optimize out=run -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(.*)$")
MARK = re.compile(r"^<!-- (not run|fails|first|file): (.+) -->$")
COMMANDS = ("openretina ", "make ")
"""What a line of an indented block begins with, if it is a command; the others are what it printed."""


@dataclass(frozen=True)
class Snippet:
    """A block of a page.

    Attributes:
        line: where it is, from 1.
        language: what it is marked as; "bash" for commands in an indented block.
        text: its lines.
        mark: "not run", "fails", "first", "file" or nothing.
        why: the reason, the command, or the name of the file.
    """

    line: int
    language: str
    text: str
    mark: str = ""
    why: str = ""

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def snippets(page: Path) -> Iterator[Snippet]:
    """The blocks of a page, in its order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    mark: tuple[str, ...] = ()
    number = 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        if found := MARK.match(line):
            mark = found.groups()
        elif found := FENCE.match(line):
            while lines[number] != "```":
                number += 1
            yield Snippet(start + 1, found[1], "\n".join(lines[start + 1 : number]) + "\n", *mark)
            number, mark = number + 1, ()
        elif line.startswith("    ") and line.strip().startswith(COMMANDS):
            while lines[number - 1].endswith("\\"):
                number += 1
            yield Snippet(start + 1, "bash", "\n".join(lines[start:number]) + "\n", *mark)
        elif line and not line.startswith("    "):
            mark = ()
