"""All stimuli in one file that numpy reads, written as a stream: memory does not grow with the number of runs."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError
from openretina_cli.report.run import Run
from openretina_cli.report.seeds import Cell, alike
from openretina_cli.store.arrays import read_stimulus

Shape = tuple[int, ...]


def write_stack(runs: Sequence[Run], path: Path, cells: Sequence[Cell] = ()) -> None:
    """Write the stimuli of all runs that have one.

    `np.load(path)["stimuli"]` is `(run, channel, time, height, width)`, float32; `folder`, `session`, `neuron` (-1
    where several were meant), `neurons`, `seed` (-1 where it is not known), `objective_final`, `channels` and
    `frame_rate_hz` say what each is. Where runs have stimuli of several shapes, that is so for the most frequent one,
    and the arrays of another carry it in their names, such as `stimuli_2x50x36x32`. A stimulus that was changed while
    the file was written is NaN. Where runs differ by their seed, `cell` says which belong together (-1 where none do),
    and `seed_mean` is the mean stimulus of each of the cells in `seed_mean_cell`, whose seeds agree.

    Args:
        runs: the runs, already looked at, in their order.
        path: the file to write.
        cells: groups of runs that differ by their seed.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        groups = by_shape(runs)
        for index, (shape, members) in enumerate(groups):
            suffix = "" if index == 0 else "_" + "x".join(map(str, shape))
            _write_stimuli(archive, f"stimuli{suffix}", shape, len(members), map(_stimulus, members))
            for name, values in index_of(members).items():
                _write_array(archive, f"{name}{suffix}", values)
            if cells:
                _write_cells(archive, suffix, shape, members, cells, runs)
        if not groups:  # a file that numpy can open all the same
            _write_array(archive, "stimuli", np.zeros((0, 0, 0, 0, 0), np.float32))
            _write_array(archive, "folder", np.zeros(0, "U1"))


def _write_cells(
    archive: zipfile.ZipFile,
    suffix: str,
    shape: Shape,
    members: Sequence[Run],
    cells: Sequence[Cell],
    runs: Sequence[Run],
) -> None:
    """The cell of each row, and the means of the cells whose seeds agree."""
    own = {run.cell for run in members}
    agreeing = [place for place, cell in enumerate(cells) if cell.agrees and place in own]
    _write_array(
        archive, f"cell{suffix}", np.array([-1 if run.cell is None else run.cell for run in members], np.int64)
    )
    _write_array(archive, f"seed_mean_cell{suffix}", np.array(agreeing, np.int64))
    means = (alike([runs[place] for place in cells[cell].runs])[2] for cell in agreeing)
    _write_stimuli(archive, f"seed_mean{suffix}", shape, len(agreeing), means)


def by_shape(runs: Sequence[Run]) -> list[tuple[Shape, list[Run]]]:
    """The runs by the shape of their stimuli, the most frequent shape first."""
    groups: dict[Shape, list[Run]] = defaultdict(list)
    for run in runs:
        if run.shape is not None:
            groups[run.shape].append(run)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def index_of(runs: Sequence[Run]) -> dict[str, NDArray[np.generic]]:
    """What each row of the stack is."""
    return {
        "folder": np.array([run.name for run in runs]),
        "session": np.array([run.session for run in runs]),
        "neuron": np.array([run.neurons[0] if len(run.neurons) == 1 else -1 for run in runs], np.int64),
        "neurons": np.array([" ".join(map(str, run.neurons)) for run in runs]),
        "seed": np.array([-1 if run.seed is None else run.seed for run in runs], np.int64),
        "objective_final": np.array([np.nan if run.final is None else run.final for run in runs], np.float64),
        "channels": np.array([" ".join(run.setup.channels) for run in runs]),
        "frame_rate_hz": np.array([run.setup.frame_rate or np.nan for run in runs], np.float64),
    }


def _write_stimuli(
    archive: zipfile.ZipFile, name: str, shape: Shape, count: int, stimuli: Iterable[NDArray[np.float32] | None]
) -> None:
    """Write stimuli of a shape one by one; one that is not there, or has another shape meanwhile, is NaN."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, header)
        for stimulus in stimuli:
            fits = stimulus is not None and stimulus.shape == shape
            values = stimulus if stimulus is not None and fits else np.full(shape, np.nan, np.float32)
            member.write(values.astype("<f4", copy=False).tobytes())


def _stimulus(run: Run) -> NDArray[np.float32] | None:
    try:
        return read_stimulus(run.path)
    except ArtifactError:
        return None


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[np.generic]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
