"""The hard control: the best of many natural clips, windowed to the receptive field and of the same norm and range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from openretina_cli.constraint.base import constrained
from openretina_cli.loop.loop import Problem
from openretina_cli.simulation.bipolar import CENTRE_SIGMA
from openretina_cli.simulation.ganglion import Cell
from openretina_cli.simulation.movies import HEIGHT, WIDTH, movies

CLIPS = 500
CONTROL_SEED = 400
"""Of the control's clips; no twin has seen them, in training or after it."""

CHUNK = 50
"""Clips in one call: 6 MB, so that a chunk stays in a processor's cache from one step to the next."""

FAINTEST = 1e-6
"""Where the window is fainter it is zero: numbers near 1e-40 cost a processor a hundred times as long as others."""


def natural_clips(frames: int, count: int = CLIPS) -> Tensor:
    """Natural-like clips `(clip, channel, frames, height, width)`, z-scored."""
    return movies(count, CONTROL_SEED, frames)


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


def scale_to_norm(clips: Tensor, norm: float) -> Tensor:
    """Scale each clip `(clip, channel, time, height, width)` to an L2 norm; an empty clip stays empty."""
    norms: Tensor = torch.linalg.vector_norm(clips.flatten(1), dim=1).clamp(min=1e-12)
    return clips * (norm / norms).view(-1, 1, 1, 1, 1)


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


def fit(clips: Tensor, cells: Sequence[Cell], seen: slice, norm: float, problem: Problem) -> Tensor:
    """Clips as the optimiser might have made them: windowed in space and time, of a norm, under the constraints.

    Args:
        clips: `(clip, channel, time, height, width)`.
        cells: what they are windowed to.
        seen: stimulus frames that reach the objective; the others are grey, and cost nothing of the norm.
        norm: L2 norm.
        problem: whose constraints hold.
    """
    window = window_to_cell(torch.ones(clips.shape[-2:]), *place(cells)).to(clips.device)
    window = torch.where(window > FAINTEST, window, 0.0)
    windowed = torch.zeros_like(clips)
    windowed[:, :, seen] = clips[:, :, seen] * window
    return constrained(problem.constraints, scale_to_norm(windowed, norm))


@torch.no_grad()
def natural_scores(clips: Tensor, cells: Sequence[Cell], seen: slice, norm: float, problem: Problem) -> Tensor:
    """The objectives `(clip,)` of the clips; the arguments are those of `fit`, the problem is one of the truth.

    Every clip is played to every cell in its own window: there is no ranking beforehand that could miss the best.
    """
    objective, scores = problem.objective, []
    for part in torch.split(clips, CHUNK):
        fitted = fit(part, cells, seen, norm, problem)
        together = objective.scores_responses
        scores += [objective.forward(rows).reshape(-1) for rows in ([fitted] if together else torch.split(fitted, 1))]
    return torch.cat(scores)
