"""The report's own file names, and what names of folders become in a page, in a table and in a link."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from openretina_cli.store import names as folder
from openretina_cli.store.names import CONFIG

SUMMARY = "summary.csv"
STIMULI = "stimuli.npz"
SEEDS = "seeds.csv"
"""A row per cell of which there are runs with several seeds."""
PAGE = "index.html"

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
MOST_FILES = 31
"""Names of files in one page, each a bit of a number."""


def link(path: Path, root: Path) -> str:
    """The address of a folder relative to the report, with a slash at its end, whatever characters its name has."""
    name = path.relative_to(root).as_posix()
    return "./" if name == "." else f"./{quote(os.fsencode(name))}/"
