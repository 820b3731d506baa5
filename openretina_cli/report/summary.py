"""The table of a report: a row per run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openretina_cli.report.run import Run
from openretina_cli.report.seeds import Cell
from openretina_cli.store.result import STATED, ChannelNumbers
from openretina_cli.text import csv_text

OWN_COLUMNS = ("session", "neuron", "seed", "group")
"""Settings that the table has columns for anyway."""


def summary_csv(runs: Sequence[Run], cells: Sequence[Cell] = ()) -> str:
    """The table as text, see `summary_rows`."""
    rows = summary_rows(runs, cells)
    return csv_text([list(row) for row in rows[:1]] + [list(row.values()) for row in rows])


def summary_rows(runs: Sequence[Run], cells: Sequence[Cell] = ()) -> list[dict[str, object]]:
    """The table, a row per run; a value that is not known is empty, and several in one cell are parted by " | ".

    Args:
        runs: the runs, in their order.
        cells: groups of runs that differ by their seed.
    """
    varying, channels = differing_settings(runs), channels_of(runs)
    return [dict(_cells(run, varying, channels, cells)) for run in runs]


def channels_of(runs: Sequence[Run]) -> list[str]:
    """The channels of all runs, in the order in which they first occur."""
    return list(dict.fromkeys(channel for run in runs for channel in run.setup.channels))


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """Names of the settings that are not the same in all runs that state their settings.

    Of settings that always change together, as one that is filled in from another does, only the one with the shortest
    path is named, and none that repeats session, neuron, seed or group.
    """
    known = [run.settings for run in runs if run.settings]
    names = dict.fromkeys(name for settings in known for name in settings)
    order = {name: place for place, name in enumerate(names)}
    values = {name: tuple(settings.get(name, "") for settings in known) for name in names}
    taken = {values[name] for name in OWN_COLUMNS if name in values}
    chosen = []
    for name in sorted(names, key=lambda name: (name.count("."), order[name])):
        if len(set(values[name])) > 1 and values[name] not in taken and name not in OWN_COLUMNS:
            chosen.append(name)
            taken.add(values[name])
    return sorted(chosen, key=order.__getitem__)


def _cells(
    run: Run, varying: Sequence[str], channels: Sequence[str], cells: Sequence[Cell]
) -> Iterator[tuple[str, object]]:
    yield "status", run.status
    yield "session", run.session
    yield "neuron", " ".join(map(str, run.neurons))
    yield "cell_type", " | ".join(run.cell_types)
    yield "quality", " | ".join(map(_rounded, run.quality))
    yield "seed", run.seed
    for name in varying:
        yield f"setting {name}", run.settings.get(name)
    yield "objective", run.objective
    for name in ("initial", "final", "best"):
        yield f"objective_{name}", _rounded(getattr(run, name))
    yield from zip(("members_mean", "members_sd"), map(_rounded, run.members or (None, None)), strict=True)
    names = ("natural_percentile", "natural_best", "natural_clips")
    yield from zip(names, map(_rounded, run.natural or (None,) * 3), strict=True)
    if cells:
        yield from _seed_cells(run, cells)
    yield "iterations", run.iterations
    yield "stop_reason", run.stop_reason
    yield "starts", run.remark
    yield "stimulus_norm", _rounded(run.norm)
    for channel in channels:
        yield from _channel_cells(channel, run.numbers.get(channel, ChannelNumbers()))
    yield "colour_angle_deg", _rounded(run.colour)
    yield "wall_time_s", _rounded(run.wall_time)
    yield "warnings", " | ".join(run.warnings)
    yield "error", run.error
    yield "folder", run.name


def _seed_cells(run: Run, cells: Sequence[Cell]) -> Iterator[tuple[str, object]]:
    """What the seeds of a run's cell have in common, and where the run is among them."""
    cell = None if run.cell is None else cells[run.cell]
    yield "cell", run.cell
    yield "seeds", "" if cell is None else len(cell.runs)
    yield "seed_cosine", _rounded(run.cosine)
    for name in ("mean", "sd", "cosine"):
        yield f"seeds_{name}", "" if cell is None else _rounded(getattr(cell, name))


def _channel_cells(channel: str, numbers: ChannelNumbers) -> Iterator[tuple[str, object]]:
    yield f"{channel}_min", _rounded(numbers.low)
    yield f"{channel}_max", _rounded(numbers.high)
    yield f"{channel}_polarity", numbers.polarity
    for name, stated in STATED.items():
        yield f"{channel}_{stated}", _rounded(getattr(numbers, name))


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
