"""The page: everything it needs in one file, so that it opens from a disk, a mail or a web server alike."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from openretina_cli.report.page_data import page_data
from openretina_cli.report.pictures import Pictures
from openretina_cli.report.run import Run
from openretina_cli.report.seeds import Cell
from openretina_cli.store.package import PACKAGE, own_text

PARTS = PACKAGE / "report" / "page"
SCRIPTS = (
    "data.js",
    "draw.js",
    "spatial.js",
    "plots.js",
    "state.js",
    "parts.js",
    "overview.js",
    "seeds.js",
    "gallery.js",
    "findings.js",
    "detail.js",
    "compare.js",
    "theme.js",
    "keys.js",
    "main.js",
)
"""In the order in which they need each other."""

STYLES = ("style.css", "cards.css", "views.css", "paper.css")


def page_html(
    title: str,
    runs: Sequence[Run],
    pictures: Sequence[Pictures],
    single: bool,
    cells: Sequence[Cell] = (),
    findings: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The page as text.

    Args:
        title: name of the folder.
        runs: the runs, in their order.
        pictures: what is drawn of each.
        single: whether the folder is the only run itself, and not a folder of runs.
        cells: groups of runs that differ by their seed.
        findings: what verbs found on all of the runs.
    """
    script, style = "\n".join(_part(name) for name in SCRIPTS), "\n".join(_part(name) for name in STYLES)
    local = "'self' file: data: blob:"
    pieces = {
        "TITLE": html.escape(title),
        # nothing but the page's own script may run, whatever a name in the data looks like
        "POLICY": f"default-src 'none'; img-src {local}; media-src {local}; "
        f"script-src {_hash(script)}; style-src {_hash(style)}",
        "STYLE": style,
        "DATA": as_script_data(page_data(title, runs, pictures, single, cells, findings)),
        "SCRIPT": script,
    }
    fixed = re.split(r"<!--([A-Z]+)-->", _part("page.html"))
    return "".join(pieces[part] if index % 2 else part for index, part in enumerate(fixed))


def _part(name: str) -> str:
    return own_text(PARTS / name)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def as_script_data(value: Any) -> str:
    """JSON that can stand in a script element: no `<`, so nothing in it can end the element or open a comment."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
