"""Candidates for tab completion: verbs, and what a verb offers for its words: names, folders, settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from openretina_cli.config.paths import PATHS, expand_home

Complete = Callable[[Sequence[str], str], Iterable[str]]
"""Offers candidates for a word of a verb, given the words of the verb before it."""

FLAGS = ("--multirun", "--config-dir", "--cfg", "--info", "--resolve", "--help")
FOLDER_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
"""Flags that a folder follows."""


def words_of(line: str) -> list[str]:
    """Splits a command line as a shell would; the last word is the one to complete, and may be empty or left open."""
    for closing in ("", "'", '"'):
        with suppress(ValueError):
            words = shlex.split(line + closing)
            return [*words, ""] if not closing and (not line or line[-1].isspace()) else words
    return line.split()


def candidates(line: str, verbs: Sequence[str], complete: Callable[[str], Complete]) -> list[str]:
    """What the last word of a command line may become, sorted.

    Args:
        line: the command line up to the cursor, with the name of the program.
        verbs: the verbs there are.
        complete: returns the function of a verb that offers candidates for the words after it.
    """
    words = words_of(line)
    found: set[str] = set()
    with suppress(Exception, SystemExit):  # a line that is being typed may have any mistake
        matches = starting(verbs, words[1]) if len(words) == 2 else complete(words[1])(words[2:-1], words[-1])
        for name in matches:
            found.add(name)
    # the shells split what they read at blanks; a name with blanks is left to the shell's own completion of files
    return sorted(name for name in found if not any(map(str.isspace, name)))


def starting(names: Iterable[str], word: str) -> Iterator[str]:
    """The names that begin with a word."""
    return (name for name in names if name.startswith(word))


def paths(word: str, *, folders_only: bool) -> Iterator[str]:
    """Files and folders whose path begins with a word; hidden ones only where the word names a dot."""
    above, name = os.path.split(word)
    with suppress(OSError):
        for entry in os.scandir(Path(expand_home(above) or ".")):
            if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
                if entry.is_dir():
                    yield os.path.join(above, entry.name) + "/"
                elif not folders_only:
                    yield os.path.join(above, entry.name)


def settings(before: Sequence[str], word: str) -> Iterator[str]:
    """Flags and settings of `openretina optimize` that a word may become, with their options, keys and paths."""
    flag, _, value = word.partition("=")
    if before and before[-1] in FOLDER_FLAGS:
        yield from paths(word, folders_only=True)
    elif flag in FOLDER_FLAGS:
        yield from (f"{flag}={path}" for path in paths(value, folders_only=True))
    elif word.startswith("-"):
        yield from starting(FLAGS, word)
    elif "=" in word and flag in PATHS:
        yield from (f"{flag}={path}" for path in paths(value, folders_only=False))
    else:
        from openretina_cli.config.completion import groups_and_keys  # Hydra, which names and paths need not wait for

        yield from groups_and_keys(before, word)
