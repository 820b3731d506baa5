"""What verbs found on finished runs, as the page shows it: a small file beside the pictures and tables it speaks of.

`openretina respond` leaves `respond.finding.json` in a folder of runs, `openretina tune` one in each run's folder, and
any other verb may leave its own; nothing here knows which verbs there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.store.files import read_mapping
from openretina_cli.store.names import FINDING, is_plain
from openretina_cli.store.values import text, texts

MOST = 8
"""Findings of one folder."""
OLDER = "(Found before the newest run here was made.) "
MOST_ROWS, MOST_COLUMNS = 60, 12
"""Of a table on the page; the file that it is from holds all of it."""


def finding(
    title: str,
    words: str,
    picture: str,
    files: Sequence[str],
    table: Sequence[Sequence[str]] = (),
    of: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The content of a finding's file.

    Args:
        title: what was asked, in a few words.
        words: the answer, in a sentence.
        picture: name of a file beside it; empty for none.
        files: names of the others.
        table: header and rows, as short texts.
        of: what the files depend on, so that a verb can tell whether they are to be made anew.
    """
    told = {"title": title, "text": words, "picture": picture, "files": list(files), "table": list(table)}
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"schema": 1, "made": made, **told, "of": dict(of or {})}


def read_findings(folder: Path, finished: str = "") -> list[dict[str, Any]]:
    """The findings in a folder, by name, read as untrusted data; what does not fit is left out.

    Args:
        folder: the folder.
        finished: when the newest run in it was, as `result.json` says it; an older finding says that it is.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(FINDING) and is_plain(name))
    except OSError:
        return []
    found = []
    for name in names[:MOST]:
        with suppress(ArtifactError):
            found.append(_sound(read_mapping(folder / name), folder, finished))
    return found


def _sound(tree: Any, folder: Path, finished: str) -> dict[str, Any]:
    picture = text(tree.get("picture")) or ""
    named = [name for name in (texts(tree.get("files")) or ())[:MOST] if _is_there(folder, name)]
    rows = tree.get("table") if isinstance(tree.get("table"), list) else []
    return {
        "title": text(tree.get("title")) or "",
        "text": (OLDER if (text(tree.get("made")) or finished) < finished else "") + (text(tree.get("text")) or ""),
        "picture": picture if _is_there(folder, picture) else "",
        "files": named,
        "table": [list(cells[:MOST_COLUMNS]) for row in rows[: MOST_ROWS + 1] if (cells := texts(row))],
    }


def _is_there(folder: Path, name: str) -> bool:
    with suppress(OSError):
        return is_plain(name) and (folder / name).is_file()
    return False
