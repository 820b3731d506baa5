"""Reads files that others wrote as plain data, with bounds on what is opened, its size, its nesting and its texts.

Threat model: a folder may come from anybody. A name in it may be a FIFO, a device, a socket or a link to a place
outside; JSON and YAML may be nested without end, describe exponentially large trees, name classes or environment
variables. Every such file is refused in one line, before work is done that grows with what the file claims.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from openretina_cli.errors import ArtifactError

MAX_TEXT_BYTES = 2**22
"""Size of the largest JSON or YAML file that is read. A result takes 4 kB, a configuration 1 kB."""

MAX_DEPTH = 32
"""Deepest nesting of lists and mappings. Results are four levels deep, and settings about as many more."""

MAX_NODES = 100_000
"""Values in one file."""

MAX_STRING = 20_000
"""Characters of one text. The longest title names each of some thousand neurons."""

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml takes a tenth of the time; it is missing from some builds of PyYAML."""


class RefusedError(ValueError):
    """Reason why a file is not read, in a few words."""


@contextmanager
def refusing(path: Path, expected: str, kind: str = "cannot be read") -> Iterator[None]:
    """Raise whatever a broken or hostile file makes a parser raise as one line that names the file.

    Args:
        path: the file.
        expected: what it should hold.
        kind: the verb of the line, between the path and the reason.

    Raises:
        ArtifactError: the block raised an error.
    """
    try:
        yield
    except (
        Exception
    ) as error:  # parsers raise many kinds: RecursionError, MemoryError, struct.error, OverflowError, ...
        reason = str(error) if isinstance(error, RefusedError) else getattr(error, "strerror", None)
        raise ArtifactError(
            f"{path} {kind}: {ascii(reason or type(error).__name__)[1:200].rstrip(chr(39))}", expected=expected
        ) from error


def read_bytes(path: Path, limit: int = MAX_TEXT_BYTES, root: Path | None = None) -> bytes:
    """Read a regular file whole.

    Args:
        path: the file.
        limit: largest size in bytes.
        root: the folder that links must not lead out of; None means the folder of the file.

    Raises:
        RefusedError: it is a FIFO, device, socket or folder, a link out of its folder, or too large.
        OSError: it cannot be opened or read.
    """
    place = Path(os.path.realpath(path))
    if not place.is_relative_to(os.path.realpath(root or path.parent)):
        raise RefusedError("it is a link out of its folder")
    # Opening a device can have effects and opening a FIFO can wait for ever, so the kind is looked up before; the file
    # may be exchanged in between, so the kind of what was opened is looked up again.
    _check_kind(os.lstat(place), limit)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(place, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        _check_kind(found, limit)
        content = file.read(found.st_size + 1)
    if len(content) > found.st_size:
        raise RefusedError("it is being written")
    return content


def _check_kind(found: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError("it is not a regular file")
    if found.st_size > limit:
        raise RefusedError(f"it has {found.st_size} bytes, and at most {limit} are read")


def read_text(path: Path, limit: int = MAX_TEXT_BYTES, root: Path | None = None) -> str:
    """Read a regular file as UTF-8.

    Raises:
        RefusedError: it is not UTF-8, or `read_bytes` refuses it.
        OSError: it cannot be opened or read.
    """
    try:
        return read_bytes(path, limit, root).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError("it is not UTF-8") from error


def read_json(path: Path, limit: int = MAX_TEXT_BYTES, nodes: int = MAX_NODES) -> Any:
    """Read a JSON file of bounded size, nesting and text lengths; lone surrogates in texts are replaced.

    Args:
        path: the file.
        limit: largest size in bytes.
        nodes: most values in it.

    Raises:
        ArtifactError: the file cannot be read, is no JSON, or exceeds a bound.
    """
    with refusing(path, "JSON"):
        try:
            tree = json.loads(read_text(path, limit))
        except RecursionError as error:
            raise RefusedError("it is nested too deeply") from error
        except json.JSONDecodeError as error:
            raise RefusedError(f"line {error.lineno} is no JSON") from error
        return plain(tree, nodes)


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read a JSON file that holds a mapping.

    Raises:
        ArtifactError: the file cannot be read, or holds something else.
    """
    tree = read_json(path)
    if not isinstance(tree, Mapping):
        raise ArtifactError(f"{path} holds no mapping", expected="the JSON of a run")
    return tree


def read_yaml(path: Path, root: Path) -> Any:
    """Read a YAML file of plain values. Aliases and tags are refused; `${...}` stays as the text that it is.

    Args:
        path: the file.
        root: the folder that links must not lead out of.

    Raises:
        ArtifactError: the file cannot be read, is no YAML, or exceeds a bound.
    """
    with refusing(path, "YAML of plain values"):
        text = read_text(path, root=root)
        try:
            _check_events(text)
            return plain(yaml.load(text, SafeLoader))  # noqa: S506  # a safe loader, and no event is an alias or a tag
        except yaml.MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
            raise RefusedError(f"it is no YAML{line}") from error


def _check_events(text: str) -> None:
    """Check nesting, references and lengths of YAML on its events, which are parsed one by one and without recursion.

    Raises:
        RefusedError: an event is an alias or has a tag, or a bound is exceeded.
        yaml.YAMLError: the text is no YAML.
    """
    depth = count = 0
    for event in yaml.parse(text, SafeLoader):
        count += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise RefusedError("it holds an alias")
        if getattr(event, "tag", None) is not None:
            raise RefusedError("it holds a tag")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_STRING:
            raise RefusedError(f"a text in it has {len(event.value)} characters, and at most {MAX_STRING} are read")
        if depth > MAX_DEPTH:
            raise RefusedError("it is nested too deeply")
        if count > MAX_NODES:
            raise RefusedError("it has too many values")


def plain(tree: Any, nodes: int = MAX_NODES) -> Any:
    """A copy of a tree of plain values, with texts that can be encoded.

    Raises:
        RefusedError: the tree is nested deeper than `MAX_DEPTH`, has more than `nodes` values or too long a text.
    """
    return _copied(tree, MAX_DEPTH, iter(range(nodes)))


def _copied(value: Any, depth: int, places: Iterator[int]) -> Any:
    if next(places, None) is None:
        raise RefusedError("it has too many values")
    if depth < 0:
        raise RefusedError("it is nested too deeply")
    if isinstance(value, dict):
        return {_text(str(key)): _copied(item, depth - 1, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item, depth - 1, places) for item in value]
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    if len(value) > MAX_STRING:
        raise RefusedError(f"a text in it has {len(value)} characters, and at most {MAX_STRING} are read")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
