"""Digests of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from openretina_cli.errors import ModelError

CHUNK_BYTES = 2**20


def digest_of_text(text: str) -> str:
    """Hex SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def digest_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(paths: Iterable[str | os.PathLike[str]]) -> str:
    """One digest over several files; it depends on their names and contents, not on their folder or order.

    It is the digest of what `sha256sum` prints for the files in order of their names.

    Raises:
        ModelError: a file cannot be read.
    """
    lines = []
    for path in map(Path, paths):
        try:
            lines.append((path.name, digest_of_file(path)))
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}") from error
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in sorted(lines)).encode()).hexdigest()
