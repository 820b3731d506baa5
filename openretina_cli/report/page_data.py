"""What the page knows: the facts of all runs, what they share said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openretina_cli.output.colors import PALETTE, channel_looks
from openretina_cli.report.names import LINKED, MOST_FILES, SEEDS, STIMULI, SUMMARY
from openretina_cli.report.pictures import Pictures
from openretina_cli.report.run import Run, Setup
from openretina_cli.report.seeds import Cell
from openretina_cli.report.summary import differing_settings
from openretina_cli.store.result import STATED, ChannelNumbers

PLACES = ("low", "high", *STATED)
"""Numbers of a channel behind its polarity, in their order; `page/data.js` has the same names."""


FEW = 4
"""Digits of the numbers of a channel, of which a run has some dozens, and the page shows three digits."""


def page_data(
    title: str,
    runs: Sequence[Run],
    pictures: Sequence[Pictures],
    single: bool,
    cells: Sequence[Cell] = (),
    findings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The page's data as plain values; `page/data.js` is their reader.

    Args:
        title: name of the folder.
        runs: the runs, in their order.
        pictures: what is drawn of each.
        single: whether the folder is the only run itself.
        cells: groups of runs that differ by their seed.
        findings: what verbs found on all of the runs; those on one run are among its facts.
    """
    setups = list(dict.fromkeys(run.setup for run in runs))
    places = {setup: place for place, setup in enumerate(setups)}
    shared = _shared_settings(runs)
    names = list(dict.fromkeys((*LINKED, *(name for run in runs for name in run.files))))[:MOST_FILES]
    return {
        "title": title,
        "single": single,
        "downloads": [SUMMARY, *([SEEDS] if cells else []), STIMULI],
        "cells": [_cell(cell) for cell in cells],
        "findings": [] if single else list(findings),
        "files": names,
        "palette": list(PALETTE),
        "setups": [_setup(setup) for setup in setups],
        "settings": list(shared.items()),
        "varying": differing_settings(runs),
        "runs": [
            {
                **_facts(run),
                "files": _bits(run, names),
                "setup": places[run.setup],
                **_own_settings(run, shared),
                **drawn,
            }
            for run, drawn in zip(runs, pictures, strict=True)
        ],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    numbers = {name: _rounded(getattr(cell, name)) for name in ("mean", "sd", "cosine")}
    return {"runs": cell.runs, **numbers, **({"picture": cell.picture} if cell.picture else {})}


def _setup(setup: Setup) -> dict[str, Any]:
    looks = channel_looks(setup.channels) if setup.channels else ()
    return {
        "channels": [{"name": look.name, "color": look.line, "dash": look.dash} for look in looks],
        "frameRate": setup.frame_rate,
        "pixelSize": setup.pixel_size,
        "lag": setup.lag,
        "window": setup.window,
        "constraints": setup.constraints,
        "model": setup.model,
        "source": setup.source,
        "note": setup.note,
        "device": setup.device,
        "versions": setup.versions,
    }


def _shared_settings(runs: Sequence[Run]) -> dict[str, str]:
    """Every setting, with the value that it has in the first run which states it."""
    shared: dict[str, str] = {}
    for run in runs:
        for name, text in run.settings.items():
            shared.setdefault(name, text)
    return shared


def _bits(run: Run, names: Sequence[str]) -> int:
    """The files that a run has, a bit for each of the names."""
    return sum(1 << place for place, name in enumerate(names) if name in run.files)


def _own_settings(run: Run, shared: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a run that are not the shared ones, by their places; None for one that it has not."""
    if not run.settings:
        return {"settings": None}
    own = {
        place: run.settings.get(name)
        for place, (name, text) in enumerate(shared.items())
        if run.settings.get(name) != text
    }
    return {"settings": own} if own else {}


def _facts(run: Run) -> dict[str, Any]:
    """The facts of a run, without those that are not known."""
    return {key: value for key, value in _all_facts(run) if value not in (None, "", (), [])}


def _all_facts(run: Run) -> Iterator[tuple[str, Any]]:
    yield from (("name", run.name), ("href", run.href), ("status", run.status), ("error", run.error))
    yield from (("session", run.session), ("neurons", run.neurons), ("types", run.cell_types), ("seed", run.seed))
    yield "quality", [_rounded(value) for value in run.quality]
    yield from (("kind", run.kind), ("objective", run.objective), ("iterations", run.iterations))
    yield from (
        ("stop", run.stop_reason),
        ("finished", run.finished),
        ("warnings", run.warnings),
        ("remark", run.remark),
    )
    for key, value in (("initial", run.initial), ("final", run.final), ("best", run.best), ("norm", run.norm)):
        yield key, _rounded(value)
    yield "wall", _rounded(run.wall_time)
    yield from (("cell", run.cell), ("cosine", _rounded(run.cosine)), ("colour", _rounded(run.colour)))
    yield from (("members", [*map(_rounded, run.members or ())]), ("natural", [*map(_rounded, run.natural or ())]))
    yield "findings", list(run.findings)
    numbers = [run.numbers.get(channel, ChannelNumbers()) for channel in run.setup.channels]
    yield (
        "numbers",
        [[n.polarity, *(_rounded(getattr(n, name), FEW) for name in PLACES)] for n in numbers],
    )


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
