"""The hard control: the best of many natural clips, windowed to the receptive field and of the same norm and range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from openretina_cli.loop.loop import Problem
from openretina_cli.run.natural import fit_clips, scores_of_clips
from openretina_cli.simulation.bipolar import CENTRE_SIGMA
from openretina_cli.simulation.ganglion import Cell
from openretina_cli.simulation.movies import HEIGHT, WIDTH


def window_to_cell(clips: Tensor, row: float, column: float, sigma: float) -> Tensor:
    """Fade clips `(..., height, width)` to grey with distance from a cell's centre, by a Gaussian.

    An optimised stimulus of fixed norm spends it in the receptive field. Natural clips of the same norm only make a
    fair control when they do so as well.

    Args:
        clips: z-scored, so that zero is grey.
        row: of the cell's centre, in pixels.
        column: of the cell's centre, in pixels.
        sigma: of the Gaussian, in pixels.
    """
    rows = torch.exp(-0.5 * ((torch.arange(HEIGHT) - row) / sigma).square())
    columns = torch.exp(-0.5 * ((torch.arange(WIDTH) - column) / sigma).square())
    return clips * rows[:, None] * columns


def place(cells: Sequence[Cell]) -> tuple[float, float, float]:
    """Row, column and radius (standard deviation) in pixels of the receptive field of one cell, or of several.

    The radius of a cell is that of a bipolar cell's centre pooled over the cell's dendrites.
    """
    rows, columns = ([getattr(cell, name) for cell in cells] for name in ("row", "column"))
    row, column = sum(rows) / len(cells), sum(columns) / len(cells)
    # the window of several cells covers all of them
    spread = max(math.hypot(cell.row - row, cell.column - column) for cell in cells)
    return row, column, spread + max(map(radius, cells))


def radius(cell: Cell) -> float:
    """Standard deviation of a cell's receptive field in pixels."""
    # what inhibits is all there is of the field of a cell without excitation
    pooled = cell.type.sigma if cell.type.excitation else cell.type.inhibition_sigma
    return math.hypot(math.hypot(*pooled) / math.sqrt(2) * cell.size, CENTRE_SIGMA)


def window_of(cells: Sequence[Cell]) -> Tensor:
    """The receptive field of cells as weights `(height, width)`."""
    return window_to_cell(torch.ones(HEIGHT, WIDTH), *place(cells))


def fit(clips: Tensor, cells: Sequence[Cell], seen: slice, norm: float, problem: Problem) -> Tensor:
    """Clips as the optimiser might have made them: windowed in space and time, of a norm, under the constraints.

    Args:
        clips: `(clip, channel, time, height, width)`.
        cells: what they are windowed to.
        seen: stimulus frames that reach the objective; the others are grey, and cost nothing of the norm.
        norm: L2 norm.
        problem: whose constraints hold.
    """
    return fit_clips(clips, window_of(cells), seen, norm, problem)


def natural_scores(clips: Tensor, cells: Sequence[Cell], seen: slice, norm: float, problem: Problem) -> Tensor:
    """The objectives `(clip,)` of the clips; the arguments are those of `fit`, the problem is one of the truth."""
    return scores_of_clips(clips, window_of(cells), seen, norm, problem)
