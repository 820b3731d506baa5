"""An export from its places to its folder: plan, write, decode, ask again, record, publish."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from openretina_cli.config.target import build
from openretina_cli.errors import SettingError
from openretina_cli.export.asking import Comparison, check_loss, compare
from openretina_cli.export.grey import Grey, Overflow, grey_of
from openretina_cli.export.presentation import Presentation, Report, hidden_channels, present
from openretina_cli.export.preview import write_previews
from openretina_cli.export.protocol import FILE as PROTOCOL
from openretina_cli.export.protocol import write_protocol
from openretina_cli.export.settings import ExportSettings
from openretina_cli.export.source import Source, check_alike, find_sources
from openretina_cli.export.twin import Twins
from openretina_cli.format.base import Format, Frames
from openretina_cli.store.digest import digest_of_file
from openretina_cli.store.export_folder import RECORD, ExportFolder
from openretina_cli.store.json_file import json_bytes

SCHEMA = 1


@dataclass(frozen=True)
class Exported:
    """What an export came to.

    Attributes:
        folder: where it lies.
        presentation: its clips.
        comparisons: of each run, in order.
        files: how many there are.
    """

    folder: Path
    presentation: Presentation
    comparisons: Sequence[Comparison]
    files: int


def export(places: Sequence[Path], settings: ExportSettings, report: Report) -> Exported:
    """Export the finished runs in places.

    Args:
        places: folders of runs, and files like `stimuli.npz`.
        settings: of the export.
        report: called with progress.

    Raises:
        OpenRetinaError: a setting, a run or the twin is wrong, or too much of a response is lost; nothing is left.
    """
    format_ = build(settings.format, Format, {})
    format_.require_packages()
    folder = ExportFolder(Path(settings.out).expanduser(), settings.overwrite)
    folder.check()
    sources = find_sources(places)
    check_alike(sources)
    twins = Twins(settings.device)
    if settings.ask:  # what is wrong with the twin is told before anything is written
        twins.of(sources[0])
    grey, positions = _grey(sources, settings, twins), _positions(sources, settings, twins)
    presentation = present(sources, settings, format_, grey, positions, report)
    with folder.writing() as place:
        _write(place, presentation, format_, settings.preview, report)
        comparisons = _ask(place, presentation, format_, settings, twins if settings.ask else None, report)
        digests = {path.relative_to(place).as_posix(): digest_of_file(path) for path in _files(place)}
        record = _record(presentation, comparisons, settings, digests)
        (place / RECORD).write_bytes(json_bytes(record))
    return Exported(folder.path, presentation, comparisons, len(digests) + 1)


def _grey(sources: Sequence[Source], settings: ExportSettings, twins: Twins) -> Grey:
    """The map from values to levels; the checkpoint's, where the user gives none.

    Raises:
        SettingError: nothing says what the levels are, or the runs are of several models.
    """
    levels = None
    if settings.grey.mean is None:
        if others := [source for source in sources if source.sha256 != sources[0].sha256]:
            raise SettingError(
                f"{sources[0].name} and {others[0].name} are of two models",
                repair="export.grey.mean=[..] export.grey.sd=[..]",
            )
        levels = twins.of(sources[0]).facts.grey_levels
    return grey_of(settings.grey, sources[0].channels, levels)


def _positions(sources: Sequence[Source], settings: ExportSettings, twins: Twins) -> list[tuple[float, float]]:
    """Where each run is shown, x and y in um.

    Raises:
        SettingError: there are not as many positions as runs, or the cells' are not known.
    """
    given = settings.protocol.positions
    if isinstance(given, list) and len(given) != len(sources):
        raise SettingError(f"export.protocol.positions has {len(given)} pairs", expected=f"{len(sources)}, one a run")
    if isinstance(given, list):
        return [(x, y) for x, y in given]
    return [twins.centre(source) if given == "cells" else (0.0, 0.0) for source in sources]


def _write(place: Path, presentation: Presentation, format_: Format, preview: bool, report: Report) -> None:
    """Write the files of the format, the table of the protocol, and previews."""
    show, count = presentation.show, len(presentation.show.clips)
    written = set()

    def pictures(index: int) -> Frames:
        written.add(index)
        report("writing clips", len(written), count)
        return presentation.pictures(index)

    format_.write(place, replace(show, pictures=pictures))
    write_protocol(place / PROTOCOL, show, format_)
    if preview:
        write_previews(place, show)


def _ask(
    place: Path,
    presentation: Presentation,
    format_: Format,
    settings: ExportSettings,
    twins: Twins | None,
    report: Report,
) -> list[Comparison]:
    """Decode every clip, compare it with what was to be written, and ask the twin about the runs' own.

    Raises:
        ArtifactError: a file holds something else, or a run loses too much of its response.
    """
    found = []
    show = presentation.show
    channels, hidden = format_.channels(show), hidden_channels(format_, show)
    for index, (clip, item) in enumerate(zip(show.clips, presentation.items, strict=True)):
        film = format_.read(place, show, index)
        presentation.check_film(index, film, channels)
        if clip.kind == "stimulus":
            overflow = presentation.overflow[index]
            shown = presentation.restore(index, film)
            comparison = compare(item.source, item.source.stimulus(), shown, overflow.factor, hidden, twins)
            check_loss(item.source, comparison, overflow, settings.tolerance, hidden, presentation.geometry.cropped)
            found.append(comparison)
        report("asking the twin again" if settings.ask else "decoding clips", index + 1, len(show.clips))
    return found


def _files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


def _record(
    presentation: Presentation,
    comparisons: Sequence[Comparison],
    settings: ExportSettings,
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """What `export.json` holds."""
    show, grey, geometry = presentation.show, presentation.grey, presentation.geometry
    rest, digest = iter(comparisons), cache(digest_of_file)
    plain = {key: value for key, value in settings.values.items() if key != "out"}
    clips = []
    for index, (clip, item) in enumerate(zip(show.clips, presentation.items, strict=True)):
        overflow = presentation.overflow[index]
        own = next(rest).record(overflow) if clip.kind == "stimulus" else _overflow(overflow)
        clips.append(
            {"clip": clip.name, "kind": clip.kind, "position_um": clip.position, **_run(item.source, digest), **own}
        )
    return {
        "schema": SCHEMA,
        "settings": plain,
        "settings_sha256": hashlib.sha256(json_bytes(plain)).hexdigest(),
        "channels": show.channels,
        "colors": show.colors,
        "grey": {"mean": grey.mean.tolist(), "sd": grey.sd.tolist(), "background": show.background},
        "frame": {"size": show.size, "pixel_size_um": show.pixel_size, "cropped": geometry.cropped},
        "pixels_per_pixel": [int(geometry.rows.min()), int(geometry.rows.max())],
        "rate_hz": show.rate,
        "frames": sum(trial.length for trial in show.trials),
        "trials": sum(trial.clip is not None for trial in show.trials),
        "asked_again": settings.ask,
        "clips": clips,
        "files": dict(digests),
    }


def _overflow(overflow: Overflow) -> dict[str, Any]:
    return {"out_of_gamut_share": overflow.shares, "scaled_by": overflow.factor}


def _run(source: Source, digest: Callable[[Path], str]) -> dict[str, Any]:
    return {
        "run": source.folder,
        "run_sha256": digest(source.record),
        "session": source.session,
        "neurons": source.neurons,
        "seed": source.seed,
        "model": source.model,
        "model_sha256": source.sha256,
        "stimulus_sha256": hashlib.sha256(source.stimulus().tobytes()).hexdigest(),
    }
