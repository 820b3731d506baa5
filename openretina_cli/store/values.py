"""Plain values of files as typed values: each function takes anything and returns None where it does not fit."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

MAX_LENGTH = 2_000
"""Characters of a text that is shown; the rest is cut off."""

MAX_SETTINGS = 10_000
"""Settings of a run, with their groups."""

LARGEST_COUNT = 2**31 - 1
"""Largest neuron, iteration and frame number."""


def text(value: object) -> str | None:
    """A text in one line, of at most `MAX_LENGTH` characters."""
    if not isinstance(value, str):
        return None
    return " ".join(value.encode("utf-8", "replace").decode()[:MAX_LENGTH].split())


def texts(value: object) -> tuple[str, ...] | None:
    """A list of texts."""
    found = tuple(map(text, value)) if isinstance(value, list) else (None,)
    return tuple(item for item in found if item is not None) if None not in found else None


def number(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


def measured(value: object) -> float | None:
    """A finite number, or NaN for null, which stands in results for every number that is not finite."""
    return math.nan if value is None else number(value)


def numbers(value: object) -> tuple[float | None, ...] | None:
    """A list of finite numbers, with None for null."""
    if not isinstance(value, list) or any(item is not None and number(item) is None for item in value):
        return None
    return tuple(map(number, value))


def rate(value: object) -> float | None:
    """A positive number that is no further from 1 than frame rates in Hz and pixel sizes in um can be."""
    found = number(value)
    return found if found is not None and 1e-3 <= found <= 1e3 else None


def integer(value: object) -> int | None:
    """A whole number that fits 64 bits."""
    return value if type(value) is int and abs(value) < 2**63 else None


def count(value: object) -> int | None:
    """A whole number from 0 that fits 32 bits."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def counts(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers from 0."""
    found = tuple(map(count, value)) if isinstance(value, list) else (None,)
    return tuple(item for item in found if item is not None) if None not in found else None


def window(value: object) -> tuple[int, int] | None:
    """Two whole numbers from 0, start and stop."""
    found = counts(value)
    return (found[0], found[1]) if found is not None and len(found) == 2 else None


def mapping(value: object) -> Mapping[str, Any] | None:
    """A mapping."""
    return value if isinstance(value, Mapping) else None


def below(tree: object, path: str) -> Any:
    """What lies in nested mappings under a dotted name; None where nothing does."""
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def flatten(settings: object) -> dict[str, str]:
    """Settings by their dotted names, as text; lists stay whole. Empty where there are more than `MAX_SETTINGS`.

    Args:
        settings: a tree of plain values that `store.files` has read, which bounds its depth.
    """
    leaves = list(_leaves("", settings)) if isinstance(settings, Mapping) else []
    return dict(leaves) if len(leaves) <= MAX_SETTINGS else {}


def _leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    elif name:
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield sys.intern(text(name) or ""), sys.intern(text(shown) or "")
