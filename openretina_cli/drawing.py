"""The pictures that settings ask for, and those of them that finished runs lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from openretina_cli.artifacts.folder import RunFolder
from openretina_cli.artifacts.later_pictures import LaterPictures, Tally
from openretina_cli.artifacts.pictures import Pictures
from openretina_cli.artifacts.rendering import Renderer
from openretina_cli.config.settings import Output
from openretina_cli.store.aside import write_whole
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import RESULT


def pictures_of(output: Output) -> Pictures:
    """The pictures that the settings ask for."""
    return Pictures(output.video, output.video_scale, tuple(output.figure), output.dpi)


def draw_missing(output: Output, folders: Sequence[Path], workers: int | None = 0) -> Tally:
    """Draw the pictures that finished runs lack, or that look otherwise there; nothing is computed anew.

    The command that made the runs may have been killed before it drew, or other pictures are asked for now.

    Args:
        output: says which pictures are wanted.
        folders: of finished runs.
        workers: processes that draw, see `Renderer`.
    """
    lacking = {folder: missing for folder in folders if (missing := _lacking(pictures_of(output), folder)).any}
    with Renderer(workers if lacking else 0) as renderer:
        later = LaterPictures(lacking.__getitem__, True, renderer, lambda: None)
        later.draw(list(lacking))
    if not later.tally.failed:
        for folder, pictures in lacking.items():
            _record(pictures, folder)
    return later.tally


def _drawn(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """How the pictures of a finished run were drawn, as its result says."""
    settings = result.get("settings") if result is not None else None
    output = settings.get("output") if isinstance(settings, Mapping) else None
    return dict(output) if isinstance(output, Mapping) else {}


def _lacking(wanted: Pictures, folder: Path) -> Pictures:
    missing, drawn = wanted.absent(folder), _drawn(RunFolder(folder).result)
    if drawn.get("video_scale", wanted.video_scale) != wanted.video_scale:
        missing = replace(missing, video=wanted.video)
    if drawn.get("dpi", wanted.dpi) != wanted.dpi:
        missing = replace(missing, figure=wanted.figure)
    return missing


def _record(pictures: Pictures, folder: Path) -> None:
    """Write into the result of a run how its pictures are drawn now."""
    result = RunFolder(folder).result
    drawn = _drawn(result)
    if result is None or not drawn:
        return
    if pictures.video:
        drawn |= {"video": True, "video_scale": pictures.video_scale}
    if pictures.figure:
        formats = drawn["figure"] if isinstance(drawn.get("figure"), list) else []
        drawn |= {"figure": [*formats, *(name for name in pictures.figure if name not in formats)], "dpi": pictures.dpi}
    changed = {**result, "settings": {**result["settings"], "output": drawn}}
    with suppress(OSError):  # the pictures are there; the next command draws them once more
        write_whole(folder, {RESULT: json_bytes(changed)})
