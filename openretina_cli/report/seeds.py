"""Runs that differ by their seed alone, taken together: the best, the spread of the objective, how alike they are."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.alignment import Alignment, align, aligned
from openretina_cli.analysis.decomposition import decompose
from openretina_cli.errors import ArtifactError
from openretina_cli.report.pictures import Pictures, components
from openretina_cli.report.run import UNREADABLE, Run
from openretina_cli.store.arrays import read_stimulus
from openretina_cli.store.result import COMPLETED
from openretina_cli.text import csv_text

AGREE = 0.8
"""Mean cosine of the pairs of seeds from which on their mean says something about each of them."""
ASIDE = ("output.", "device", "seed")
"""Settings that do not tell cells from each other."""
ASKED = ("session", "neuron", "group", "objective.", "model.")
"""Settings that say who is asked and for what, and tell cells apart even where they are equal to the seed."""


@dataclass(frozen=True)
class Cell:
    """The runs of one cell, or of one objective, that differ by their seed.

    Attributes:
        runs: places of the runs, the best first, those without an objective last.
        mean: of the final objectives.
        sd: their standard deviation, of the sample; None for one alone.
        cosine: mean over all pairs of completed seeds, each aligned to the best; None where there is no pair.
        picture: what the page draws of the mean of the aligned stimuli, where the seeds agree.
    """

    runs: tuple[int, ...]
    mean: float | None
    sd: float | None
    cosine: float | None
    picture: Pictures | None = None

    @property
    def agrees(self) -> bool:
        """Whether the seeds led to much the same stimulus."""
        return self.cosine is not None and self.cosine >= AGREE


def together(runs: Sequence[Run]) -> tuple[list[Run], list[Cell]]:
    """Group runs by all their settings but the seed.

    Stimuli are read one at a time, so that memory does not grow with the runs.

    Returns:
        The runs, each with the place of its cell and its cosine with the best seed, and the cells in the order of their
        first runs.
    """
    found = list(runs)
    cells: list[Cell] = []
    for members in _groups(runs):
        order = sorted(members, key=lambda place: (runs[place].status != COMPLETED, -_final(runs[place]), place))
        cosines, cosine, average = alike([runs[place] for place in order])
        picture = None if average is None else components([decompose(channel) for channel in average])
        finals = [final for place in order if (final := runs[place].final) is not None]
        sd = statistics.stdev(finals) if len(finals) > 1 else None
        for place, own in zip(order, cosines, strict=True):
            found[place] = replace(runs[place], cell=len(cells), cosine=own)
        cells.append(Cell(tuple(order), statistics.fmean(finals) if finals else None, sd, cosine, picture))
    return found, cells


def _final(run: Run) -> float:
    return -math.inf if run.final is None else run.final


def _groups(runs: Sequence[Run]) -> Iterator[list[int]]:
    """Places of runs that differ by their seed alone, at least two of them."""
    known = [place for place, run in enumerate(runs) if run.settings and run.seed is not None]
    if len({runs[place].seed for place in known}) < 2:
        return
    names = dict.fromkeys(name for place in known for name in runs[place].settings)
    told = [name for name in names if not name.startswith(ASIDE) and not _follows_seed(name, [runs[p] for p in known])]
    groups: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for place in known:
        if runs[place].status != UNREADABLE:
            groups[tuple(map(runs[place].settings.get, told))].append(place)
    yield from (places for places in groups.values() if len({runs[place].seed for place in places}) > 1)


def _follows_seed(name: str, runs: Sequence[Run]) -> bool:
    """Whether a setting is filled in from the seed, as `file=start_${seed}.pt` is not, and `number=${seed}` is."""
    if name.startswith(ASKED) and not name.endswith(".seed"):
        return False
    return all(run.settings.get(name) == str(run.seed) for run in runs)


def alike(runs: Sequence[Run]) -> tuple[list[float | None], float | None, NDArray[np.float32] | None]:
    """Cosine of each run's stimulus with that of the first, the mean over pairs, and the mean of the aligned ones.

    The mean over the pairs of n unit vectors is that of the squared length of their sum, (|sum|^2 - n) / (n (n - 1)).
    """
    cosines: list[float | None] = [None] * len(runs)
    best, count = None, 0
    for place, run in enumerate(runs):
        stimulus = _stimulus(run)
        if stimulus is None or (best is not None and stimulus.shape != best.shape):
            continue
        if best is None:
            best = stimulus
            units, average = (np.zeros(stimulus.shape) for _ in range(2))
        how = align(stimulus, best) if place else Alignment(1.0, 1, 0)
        norm = float(np.linalg.norm(moved := aligned(stimulus, how)))
        cosines[place], count = how.cosine, count + 1
        average += moved
        units += moved / (norm or 1)
    if count < 2:
        return cosines, None, None
    mean = (float(np.square(units).sum()) - count) / (count * (count - 1))
    return cosines, mean, (average / count).astype(np.float32) if mean >= AGREE else None


def _stimulus(run: Run) -> NDArray[np.float32] | None:
    if run.status != COMPLETED or run.shape is None:
        return None
    try:
        return read_stimulus(run.path)
    except ArtifactError:  # changed meanwhile
        return None


def seeds_csv(runs: Sequence[Run], cells: Sequence[Cell]) -> str:
    """A row per cell; a value that is not known is empty."""
    header = ["session", "neuron", "cell_type", "objective", "seeds", "best_seed", "best_folder", "objective_best"]
    rows = []
    for cell in cells:
        best = runs[cell.runs[0]]
        who = (best.session, " ".join(map(str, best.neurons)), " | ".join(best.cell_types), best.objective)
        numbers = (best.final, cell.mean, cell.sd, cell.cosine)
        told = ["" if value is None else f"{value:.6g}" for value in numbers]
        rows.append([*who, len(cell.runs), best.seed, best.name, *told, int(cell.agrees)])
    return csv_text([[*header, "objective_mean", "objective_sd", "cosine", "agree"], *rows])
