"""All stimuli in one file that numpy reads, written as a stream: memory does not grow with the number of runs."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError
from openretina_cli.report.run import Run
from openretina_cli.store.arrays import read_stimulus

Shape = tuple[int, ...]


def write_stack(runs: Sequence[Run], path: Path) -> None:
    """Write the stimuli of all runs that have one.

    `np.load(path)["stimuli"]` is `(run, channel, time, height, width)`, float32; `folder`, `session`, `neuron` (-1
    where several were meant), `neurons`, `seed` (-1 where it is not known), `objective_final`, `channels` and
    `frame_rate_hz` say what each is. Where runs have stimuli of several shapes, that is so for the most frequent one,
    and the arrays of another carry it in their names, such as `stimuli_2x50x36x32`. A stimulus that was changed while
    the file was written is NaN.

    Args:
        runs: the runs, already looked at, in their order.
        path: the file to write.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        groups = by_shape(runs)
        for index, (shape, members) in enumerate(groups):
            suffix = "" if index == 0 else "_" + "x".join(map(str, shape))
            _write_stimuli(archive, f"stimuli{suffix}", shape, members)
            for name, values in index_of(members).items():
                _write_array(archive, f"{name}{suffix}", values)
        if not groups:  # a file that numpy can open all the same
            _write_array(archive, "stimuli", np.zeros((0, 0, 0, 0, 0), np.float32))
            _write_array(archive, "folder", np.zeros(0, "U1"))


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


def _write_stimuli(archive: zipfile.ZipFile, name: str, shape: Shape, runs: Sequence[Run]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(runs), *shape)}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, header)
        for run in runs:
            member.write(_stimulus(run, shape).astype("<f4", copy=False).tobytes())


def _stimulus(run: Run, shape: Shape) -> NDArray[np.float32]:
    try:
        stimulus = read_stimulus(run.path)
    except ArtifactError:
        stimulus = np.empty(0, np.float32)
    return stimulus if stimulus.shape == shape else np.full(shape, np.nan, np.float32)


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[np.generic]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
