"""Checks of single values; each error names the setting."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from openretina_cli.errors import SettingError

NeuronChoice = int | tuple[int, ...] | str
Pairs = tuple[tuple[float | None, float | None], ...]

SPAN = re.compile(r"(\d+)\.\.(\d+)")
MOST_NAMES = 24
"""Names in one suggestion at most, so that all settings and groups fit; a checkpoint may have hundreds of sessions."""


def closest(name: str, known: Iterable[str]) -> str:
    """Suggest names for a misspelt one: the closest known name, and all of them; empty where none is known."""
    names = list(known)
    if not names:
        return ""
    match = difflib.get_close_matches(name, names, n=1)
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    suggestion = f"{match[0]} (did you mean that?), or " if match else ""
    return f"{suggestion}one of {', '.join(names[:MOST_NAMES])}{more}"


def spelt(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(spelt, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{spelt(item)}" for key, item in value.items()) + "}"
    return str(value)


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a value.

    Raises:
        SettingError: the condition does not hold.
    """
    if not condition:
        raise SettingError(f"{name}={spelt(value)}", expected=expected)


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        SettingError: it is none of them.
    """
    require(value in choices, name, value, "one of " + ", ".join(choices))


def positive(name: str, value: float | None) -> None:
    """Refuse a value that is no positive finite number; None passes.

    Raises:
        SettingError: it is not positive or not finite.
    """
    require(value is None or (value > 0 and math.isfinite(value)), name, value, "a positive number")


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def neuron_list(name: str, value: object) -> list[int]:
    """A list of neurons.

    Raises:
        SettingError: it is something else, is empty, or names a neuron twice.
    """
    fits = isinstance(value, (list, tuple)) and bool(value) and all(map(_is_index, value))
    neurons: list[int] = list(value) if fits else []  # type: ignore[call-overload]  # a list or tuple if it fits
    require(fits and len(set(neurons)) == len(neurons), name, value, "different whole numbers from 0, such as [1,5,9]")
    return neurons


def neuron_choice(name: str, value: object) -> NeuronChoice:
    """One neuron, several that are to respond together, or "all" of a session.

    Raises:
        SettingError: it is something else.
    """
    if value == "all":
        return "all"
    if isinstance(value, int) and _is_index(value):
        return value
    if isinstance(value, str) and (span := SPAN.fullmatch(value)) and int(span[1]) <= int(span[2]):
        return tuple(range(int(span[1]), int(span[2]) + 1))
    if isinstance(value, (list, tuple)):
        return tuple(neuron_list(name, value))
    raise SettingError(
        f"{name}={spelt(value)}", expected="a number from 0, a list such as [1,5,9], a span 0..9, or all"
    )


def range_pairs(name: str, value: object) -> Pairs | None:
    """Return pairs `(minimum, maximum)`, one per channel or one for all; one pair may stand alone; None passes.

    Raises:
        SettingError: it is something else, or a minimum is above its maximum.
    """
    if value is None:
        return None
    expected = "a pair [minimum, maximum] per channel, or one for all, with null for no limit"
    pairs = (
        [value] if isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple)) for v in value) else value
    )
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise SettingError(f"{name}={spelt(value)}", expected=expected)
    for pair in pairs:
        numbers = isinstance(pair, (list, tuple)) and all(v is None or isinstance(v, (int, float)) for v in pair)
        require(numbers and len(pair) == 2, name, value, expected)
        low, high = (-math.inf if pair[0] is None else pair[0]), (math.inf if pair[1] is None else pair[1])
        require(low <= high, name, value, "minimum <= maximum")
    return tuple((pair[0], pair[1]) for pair in pairs)
