"""Looks into files of runs without believing them: what is missing, too large or of another type is None."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

MAX_TEXT_BYTES = 2**22
"""A result has 2 kB, a configuration as much, a response of 100 neurons 100 kB."""

MAX_NODES = 10_000
"""Of a settings tree; YAML can describe one with more nodes than there are atoms."""

MAX_LENGTH = 2_000
"""Of a text that is shown."""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


class Node:
    """A place in a tree of plain values, which may or may not be there.

    Args:
        value: what is there.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, key: str) -> Node:
        return Node(self.value.get(key) if isinstance(self.value, Mapping) else None)

    @property
    def number(self) -> float | None:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            return None
        try:
            return float(self.value) if math.isfinite(self.value) else None
        except OverflowError:  # an integer of hundreds of digits
            return None

    @property
    def integer(self) -> int | None:
        """A whole number that fits 64 bits."""
        value = self.value
        return value if type(value) is int and abs(value) < 2**63 else None

    @property
    def text(self) -> str | None:
        """A text in one line, of sane length."""
        if not isinstance(self.value, str):
            return None
        return " ".join(self.value.encode("utf-8", "replace").decode()[:MAX_LENGTH].split())

    @property
    def items(self) -> list[Node]:
        """The items of a list; none where there is no list."""
        return [Node(item) for item in self.value[:MAX_NODES]] if isinstance(self.value, list) else []

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts in a list."""
        return tuple(text for item in self.items if (text := item.text) is not None)

    @property
    def integers(self) -> tuple[int, ...]:
        """The whole numbers in a list."""
        return tuple(value for item in self.items if (value := item.integer) is not None)


def read_text(path: Path) -> str | None:
    """A file's text, if it is there and of sane size."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def read_json(path: Path) -> Node:
    """What a JSON file holds."""
    try:
        return Node(json.loads(read_text(path) or "null"))
    except (ValueError, RecursionError):
        return Node(None)


def read_yaml(path: Path) -> Node:
    """What a YAML file of plain values holds."""
    try:
        return Node(yaml.load(read_text(path) or "null", Loader))  # noqa: S506  # a safe loader
    except (ValueError, RecursionError, yaml.YAMLError):
        return Node(None)


def flatten(settings: Node) -> dict[str, str]:
    """Settings by their dotted names, as text; lists stay whole. Nothing where there are too many, or too deep ones."""
    try:
        return dict(_leaves("", settings.value)) if _is_small(settings.value) else {}
    except RecursionError:
        return {}


def _is_small(value: Any) -> bool:
    """Whether a tree has a sane number of nodes; one that branches for ever, by references, is left early."""
    waiting, count = [value], 0
    while waiting and count <= MAX_NODES:
        node, count = waiting.pop(), count + 1
        if isinstance(node, (Mapping, list)):
            waiting += node.values() if isinstance(node, Mapping) else node
    return not waiting


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    elif name:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield sys.intern(Node(name).text or ""), sys.intern(Node(text).text or "")


def read_table(path: Path) -> tuple[list[str], NDArray[np.float64]] | None:
    """Header and numbers `(row, column)` of a CSV file, or None where it is not a whole table of finite numbers."""
    try:
        header, *rows = csv.reader(io.StringIO(read_text(path) or ""))
        table = np.array(rows, dtype=np.float64)
    except (ValueError, csv.Error):
        return None
    whole = table.ndim == 2 and table.shape[1] == len(header) and bool(np.isfinite(table).all())
    return ([Node(name).text or "" for name in header], table) if whole else None
