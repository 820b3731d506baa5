"""Overrides as they are typed, `KEY=VALUE`: their quoting, and checks of what Hydra would let pass."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override as Override  # for other rooms
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from openretina_cli.checks import spelt
from openretina_cli.config.paths import PATHS, SEVERAL
from openretina_cli.config.settings import GROUPS, LISTS
from openretina_cli.errors import SettingError
from openretina_cli.text import is_text

BRACKETS = ("[]", "()", "{}")


def _quoted_value(value: str) -> str:
    return str(QuotedString(value, Quote.double).with_quotes())


def quoted(text: str) -> str:
    """Quotes the value of an override for Hydra, so that the value is text whatever characters it has."""
    key, _, value = text.partition("=")
    return f"{key}={_quoted_value(value)}"


def _spelled(value: object, key: str) -> str:
    """A Python value as Hydra's grammar has it; a text that Hydra would read otherwise is quoted.

    Raises:
        SettingError: no setting can have the value.
    """
    if value is None or isinstance(value, bool):
        return spelt(value)
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_spelled(item, f'{key}.{name}')}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ",".join(_spelled(item, key) for item in value) + "]"
    if not isinstance(value, (str, os.PathLike)):
        expected = "a number, a text, a list or a mapping of them"
        raise SettingError(f"{key} is a {type(value).__name__}", expected=expected)
    text = os.fspath(value)
    override = _parsed(f"{key}={text}")
    bare = override is not None and not override.is_sweep_override() and override.value() == text
    return str(text) if bare else _quoted_value(str(text))


def overrides_of(settings: Mapping[str, Any], sweeps: bool, above: str = "") -> Iterator[str]:
    """Overrides that say what Python values say: `{"stimulus": {"norm": 30}}` is `stimulus.norm=30`.

    Args:
        settings: by name; a mapping holds settings of a group.
        sweeps: whether a list, tuple or range stands for several runs, and not for one value.
        above: the dotted name of the group that they belong to, with a dot.

    Raises:
        SettingError: no setting can have a value.
    """
    for name, value in settings.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from overrides_of(value, sweeps, f"{key}.")
        elif sweeps and isinstance(value, (list, tuple, range)):
            yield f"{key}={','.join(_spelled(item, key) for item in value)}"
        else:
            yield f"{key}={_spelled(value, key)}"


def _parsed(text: str) -> Override | None:
    """An override as Hydra reads it, or None where Hydra cannot."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _is_path(text: str) -> bool:
    key, equals, _ = text.partition("=")
    return bool(equals) and key.lstrip("+") in PATHS


def literal(text: str, sweeps: bool) -> str:
    """Quotes the value of a path that Hydra would refuse, or would read as something other than text.

    Hydra's grammar knows no `=`, `~`, `#`, brackets or letters beyond ASCII in a bare value, and 1e3 is a number to it.
    Commas part the values of a sweep, and interpolations stay.

    Args:
        text: an override.
        sweeps: whether it may stand for several runs.
    """
    key, _, value = text.partition("=")
    if not _is_path(text) or not value or value[0] in "\"'":
        return text
    if key.lstrip("+") in SEVERAL and value[0] + value[-1] == "[]" and "[" not in value[1:]:
        return f"{key}=[{','.join(map(_quoted_value, filter(None, value[1:-1].split(','))))}]"
    if (override := _parsed(text)) is None:
        return f"{key}={','.join(map(_quoted_value, value.split(',') if sweeps else [value]))}"
    if override.is_sweep_override() or override.value() is None or isinstance(override.value(), str):
        return text
    return quoted(text)


def repair_by_quotes(text: str) -> str:
    """The quoted form of an override, as typed in a shell; empty where quotes are not what it lacks."""
    _, _, value = text.partition("=")
    closed = all(value.count(pair[0]) == value.count(pair[1]) for pair in BRACKETS)
    if not value or not closed or any(value.count(mark) % 2 for mark in "\"'") or _parsed(quoted(text)) is None:
        return ""
    return shlex.quote(quoted(text))


def _several_runs(override: Override) -> SettingError:
    text = str(override.input_line)
    if _is_path(text):
        return SettingError(f"{text} means several runs", repair=f"{shlex.quote(quoted(text))} for one path, or -m")
    one = "a list in brackets or a text in quotes for one run"
    return SettingError(f"{text} means several runs", repair=f"-m {shlex.quote(text)}, or {one}")


def _check(override: Override, sweeps: bool) -> None:
    """Refuses what Hydra would let pass, or refuse without naming it.

    Raises:
        SettingError: a group is given something that is no option, or one run several values.
    """
    text, group = str(override.input_line), override.key_or_group
    if not group:
        raise SettingError(f"cannot read {text}", expected="KEY=VALUE")
    if override.is_sweep_override():
        if not sweeps:
            raise _several_runs(override)
        return
    value = override.value()
    if group not in GROUPS or override.is_delete() or isinstance(value, (str, dict)):
        return
    if group not in LISTS:
        raise SettingError(f"{group}={spelt(value)} chooses no option", expected=f"one, such as {group}=NAME")
    if not isinstance(value, list):
        raise SettingError(f"{group}={spelt(value)} chooses no option", expected=f"a list, or {group}=[] for none")


def _check_encoding(texts: Sequence[str]) -> None:
    """Refuses bytes that the locale's encoding cannot read, as YAML cannot hold them.

    Raises:
        SettingError: there are such bytes.
    """
    for text in texts:
        if not is_text(text):
            encoding = sys.getfilesystemencoding()
            repair = "" if encoding == "utf-8" else "PYTHONUTF8=1 before the command"
            raise SettingError(f"cannot read {text}", expected=f"KEY=VALUE in {encoding}", repair=repair)


def _check_blanks(texts: Sequence[str]) -> None:
    """Refuses a word without `=` after a path: the shell parted the path at a blank.

    Raises:
        SettingError: there is such a word.
    """
    for path, word in itertools.pairwise(texts):
        if _is_path(path) and "=" not in word and not word.startswith("~"):
            key, _, value = path.partition("=")
            whole = f"{key}={_quoted_value(value.strip(chr(34)) + ' ' + word)}"
            raise SettingError(f"cannot read {word}", expected="KEY=VALUE", repair=shlex.quote(whole))


def read_overrides(texts: Sequence[str], sweeps: bool) -> list[Override]:
    """Parses and checks overrides.

    Args:
        texts: as they were typed, paths among them as `literal` has them.
        sweeps: whether one may stand for several runs.

    Raises:
        SettingError: one is wrong.
        Exception: an error of Hydra's, which `config.errors.explain` puts into a sentence.
    """
    _check_encoding(texts)
    _check_blanks(texts)
    overrides = OverridesParser.create().parse_overrides(list(texts))
    for override in overrides:
        _check(override, sweeps)
    return overrides
