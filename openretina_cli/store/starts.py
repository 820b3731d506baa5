"""What `result.json` says of the stimuli that one run optimised, in words: of restarts, or of the members of a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openretina_cli.store.values import below, mapping, number

MOST = 100
"""Starts or members of a run; a record of more is none of ours."""


def _rows(value: object) -> list[Mapping[str, Any]]:
    """The records in a list; none where it is something else."""
    return [row for row in value[:MOST] if isinstance(row, Mapping)] if isinstance(value, list) else []


def _numbers(rows: list[Mapping[str, Any]], name: str) -> list[float]:
    return [found for row in rows if (found := number(row.get(name))) is not None]


def _span(values: list[float], digits: str) -> str:
    low, high = (format(value, digits) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def remark_of(result: Mapping[str, Any]) -> str:
    """One sentence about the starts or the set of a run; empty where there was one start, or nothing can be read.

    Args:
        result: what a `result.json` holds, which a stranger may have written.
    """
    return _of_starts(_rows(result.get("restarts"))) or _of_set(mapping(result.get("set")) or {})


def _of_starts(starts: list[Mapping[str, Any]]) -> str:
    others = [start for start in starts if start.get("kept") is not True]
    scores, cosines = _numbers(others, "objective"), _numbers(others, "cosine")
    if not scores or not cosines:
        return ""
    failed = sum(start.get("failure") is not None for start in others)
    said = (
        f"best of {len(starts)} starts; the others reach {_span(scores, '.4g')}, cosine to it {_span(cosines, '.2f')}"
    )
    return f"{said}; {failed} diverged" if failed else said


def _of_set(record: Mapping[str, Any]) -> str:
    members, index, linear = _rows(record.get("members")), *map(number, map(record.get, INDICES))
    if not members or index is None:
        return ""
    kept, share = sum(member.get("keeps") is True for member in members), _share(record)
    above = f", {kept} of them keep {share}" if share else ""
    bound = "" if linear is None else f" (a linear cell: at most {linear:.2f})"
    return f"{len(members)} diverse stimuli{above}; diversity index {index:.2f}{bound}"


INDICES = ("index", "index_of_a_linear_cell")


def _share(record: Mapping[str, Any]) -> str:
    threshold, reference = number(record.get("threshold")), number(record.get("reference_response"))
    return f"{threshold / reference:.0%} of the reference's response" if threshold and reference else ""


def labels_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What stands above each member of a set: its number, share of the reference's response and mean distance."""
    rows = _rows(below(result, "set.members"))
    return tuple(
        f"{place}: {_shown(row, 'share', '.0%')}, distance {_shown(row, 'distance', '.2f')}"
        for place, row in enumerate(rows)
    )


def _shown(row: Mapping[str, Any], name: str, digits: str) -> str:
    found = number(row.get(name))
    return "?" if found is None else format(found, digits)
