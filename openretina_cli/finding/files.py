"""Files of findings: written aside and moved into a folder, each whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.aside import aside, move_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_folder(folder: Path) -> None:
    """Find out before any work whether a folder can be written.

    Raises:
        SettingError: it is a file, or cannot be written.
    """
    taken = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not taken.is_dir():
        raise SettingError(f"out={folder} cannot be made, as {taken} is a file", expected="a folder, or none yet")
    if not os.access(taken, os.W_OK | os.X_OK):
        raise SettingError(f"{folder} cannot be written: no permission in {taken}", repair="out=FOLDER")


def publish(folder: Path, writers: dict[str, Callable[[Path], object]]) -> list[Path]:
    """Write files into a folder; none of them appears before all are written.

    Args:
        folder: the folder, made where it is not there yet.
        writers: by name of the file, what writes it to a path; the last one appears last.

    Raises:
        ArtifactError: a file could not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with aside(folder, next(iter(writers))) as place:
            for name, write in writers.items():
                write(place / name)
            move_files(place, folder, writers)
    except OSError as error:
        raise ArtifactError(
            f"{folder} cannot be written: {error.strerror or error}", repair="out=FOLDER, on a disk with room"
        ) from error
    return [folder / name for name in writers]


def save_bytes(content: bytes, path: Path) -> None:
    """Write the content of a file to a path."""
    path.write_bytes(content)


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    from openretina_cli.output.composition.composer import DPI, style  # NumPy, which mistakes need not wait for

    content = io.BytesIO()
    with style():
        figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def number(value: float) -> str:
    """A number as a cell of a table; empty where it is not finite."""
    return f"{value:.7g}" if abs(value) < float("inf") else ""
