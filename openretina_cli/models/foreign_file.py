"""Takes the bytes of a file that others wrote, and turns whatever goes wrong with these bytes into one short line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openretina_cli.errors import ModelError, OpenRetinaError, UnsafeFileError


def shown(text: str, limit: int = 120) -> str:
    """Text from a file, fit for a terminal: printable ASCII of at most `limit` characters."""
    words = " ".join(text[: 4 * limit].split())
    text = "".join(character if " " <= character <= "~" else ascii(character)[1:-1] for character in words)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def unsafe(names: Iterable[str], path: Path) -> UnsafeFileError:
    """The refusal of a file that names functions or classes which are not in the reader's table."""
    return UnsafeFileError(
        f"{path} asks for {shown(', '.join(names))} and was not read",
        expected="nothing but numbers, strings, arrays and containers of them",
    )


def content_of(path: Path, limit: int) -> bytes:
    """Reads the whole of a regular file.

    Raises:
        ModelError: the file is missing, empty, no regular file, or larger than `limit` bytes.
    """
    try:
        if not path.is_file():  # a pipe or device could be read without end
            raise ModelError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
        size = path.stat().st_size
        if size > limit:
            raise ModelError(f"{path} has {size} bytes", expected=f"at most {limit}")
        with path.open("rb") as file:
            content = file.read(limit + 1)  # a file that grows meanwhile is read no further
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if not content:
        raise ModelError(f"{path} is empty")
    if len(content) > limit:
        raise ModelError(f"{path} has more than {limit} bytes", expected=f"at most {limit}")
    return content


@contextmanager
def one_line_errors(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a broken file makes a parser raise, MemoryError and RecursionError too, into a ModelError."""
    try:
        yield
    except OpenRetinaError:
        raise
    except Exception as error:
        problem = f"{path} is not a readable {kind}: {type(error).__name__}"
        raise ModelError(f"{problem}: {shown(str(error))}".rstrip(": "), expected="a whole file") from error


def named(loaded: object, path: Path) -> dict[str, Any]:
    """The value as a mapping from strings.

    Raises:
        ModelError: the value is something else.
    """
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds a {shown(type(loaded).__name__)}", expected="a mapping from names")
    for name in loaded:
        if not isinstance(name, str):
            raise ModelError(f"{path} has a {type(name).__name__} among its names", expected="strings")
    return dict(loaded)
