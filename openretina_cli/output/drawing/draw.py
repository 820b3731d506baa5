"""The one way in which pictures are drawn, in whichever process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openretina_cli.errors import OpenRetinaError
from openretina_cli.output.base import REMARKS, Wanted
from openretina_cli.output.view import RunView

LONGEST_REASON = 300
"""Characters of a reason that are kept; a library may name all that it knows."""


@dataclass(frozen=True)
class Drawn:
    """Pictures of a run as bytes.

    Attributes:
        files: content of the files that could be drawn, by name.
        problems: why others could not be drawn, by name.
        remarks: what a file shows otherwise than it is, by name.
    """

    files: Mapping[str, bytes]
    problems: Mapping[str, str]
    remarks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def none(cls, names: Iterable[str], problem: str) -> Drawn:
        """No picture, for one and the same reason."""
        return cls({}, dict.fromkeys(names, problem))


def draw_pictures(view: RunView, wanted: Wanted, kept: dict[str, Any] | None = None) -> Drawn:
    """Draw the pictures of a run; one that cannot be drawn does not keep the others from being drawn.

    Args:
        view: the run.
        wanted: which pictures.
        kept: see `Picture.draw`; given again, the next run of the same kind is drawn much faster.
    """
    kept = {} if kept is None else kept
    files: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for name, picture in wanted.items():
        try:
            files[name] = picture.draw(name, view, kept)
        except Exception as error:  # whatever a library of pictures raises, the numbers of the run are sound
            problems[name] = _reason(error)
    return Drawn(files, problems, kept.pop(REMARKS, {}))


def _reason(error: Exception) -> str:
    if isinstance(error, OpenRetinaError):
        return str(error)
    text = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:LONGEST_REASON]
