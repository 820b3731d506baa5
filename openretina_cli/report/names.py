"""The report's own file names, and what names of folders become in a page, in a table and in a link."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from openretina_cli.artifacts import folder

SUMMARY = "summary.csv"
STIMULI = "stimuli.npz"
PAGE = "index.html"

CONFIG = ".hydra/config.yaml"
LOG = "optimize.log"
FIGURES = tuple(f"{folder.FIGURE}.{ending}" for ending in ("png", "pdf", "svg"))

LINKED = (
    folder.VIDEO,
    *FIGURES,
    folder.STIMULUS,
    folder.RESPONSE,
    folder.HISTORY,
    folder.RESULT,
    folder.FAILURE,
    CONFIG,
    LOG,
)
"""Files of a run that the page links to, in this order."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people do: neuron=2 before neuron=10."""
    pieces = re.split(r"([0-9]{1,18})", name)
    return tuple((0, int(piece), "") if index % 2 else (1, 0, piece) for index, piece in enumerate(pieces))


def shown_name(path: Path, root: Path) -> str:
    """A folder's name below the report's, with slashes; bytes that are no text are replaced."""
    name = path.relative_to(root).as_posix()
    return os.fsencode(name).decode("utf-8", "replace")


def link(path: Path, root: Path) -> str:
    """The address of a folder relative to the report, with a slash at its end, whatever characters its name has."""
    name = path.relative_to(root).as_posix()
    return "./" if name == "." else f"./{quote(os.fsencode(name))}/"
