"""Names of the folders of a sweep's runs: short, and allowed on every file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from openretina_cli.config.expand import Request
from openretina_cli.store.digest import digest_of_text
from openretina_cli.text import folder_name

FIRST = ("session", "neuron", "seed")
"""Settings that stand first in a name, because a long name is cut at its end."""


def _rank(item: str) -> tuple[int, str]:
    key = item.partition("=")[0]
    return (FIRST.index(key) if key in FIRST else len(FIRST)), item


def _items(name: str) -> list[str]:
    """The overrides in a name; commas inside brackets belong to a value."""
    items, depth = [""], 0
    for character in name:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return items


def short(name: str) -> str:
    """A folder name of bounded length for Hydra's `override_dirname`, the same for the same runs, and for no others.

    Of a path only the last part is kept; a hash stands for what is left out or replaced. No name begins with a dot,
    since such folders are hidden and pass for those of tools.
    """
    items = sorted(_items(name), key=_rank)
    whole = ",".join(items) or "run"
    shown = [re.sub(r"=.*[/\\](?=[^/\\])", "=", item) for item in items]
    safe = folder_name(",".join(shown))
    return safe if safe == whole else f"{safe}-{digest_of_text(name)[:8]}"


def folded(name: str) -> str:
    """The form in which file systems compare names that ignore case and the way accents are encoded."""
    return unicodedata.normalize("NFC", name).casefold()


def telling_keys(requests: Sequence[Request]) -> frozenset[str]:
    """The settings in which the runs of a sweep differ.

    Where the runs differ in none, as in a sweep of one run, these are the ones among session, neuron and seed that the
    command names.
    """
    texts: dict[str, set[str]] = {}
    for request in requests:
        for assignment in request:
            texts.setdefault(assignment.key, set()).add(assignment.text)
    differing = {key for key, found in texts.items() if len(found) > 1}
    return frozenset(differing or {key for key in texts if key in FIRST})
