"""Natural clips as the optimiser might have made them: windowed to a field, of a norm, under a run's constraints."""

from __future__ import annotations

import torch
from torch import Tensor

from openretina_cli.constraint.base import constrained
from openretina_cli.loop.loop import Problem
from openretina_cli.simulation.movies import movies

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


def clips_of(movies: Tensor, frames: int, count: int = CLIPS) -> Tensor:
    """Stretches `(clip, channel, frames, height, width)` of movies `(movie, channel, time, height, width)`.

    Movie and first frame are drawn at random, the same ones every time.
    """
    generator = torch.Generator().manual_seed(CONTROL_SEED)
    chosen = torch.randint(len(movies), (count,), generator=generator).tolist()
    starts = torch.randint(movies.shape[2] - frames + 1, (count,), generator=generator).tolist()
    return torch.stack([movies[i, :, start : start + frames] for i, start in zip(chosen, starts, strict=True)])


def scale_to_norm(clips: Tensor, norm: float) -> Tensor:
    """Scale each clip `(clip, channel, time, height, width)` to an L2 norm; an empty clip stays empty."""
    norms: Tensor = torch.linalg.vector_norm(clips.flatten(1), dim=1).clamp(min=1e-12)
    return clips * (norm / norms).view(-1, 1, 1, 1, 1)


def fit_clips(clips: Tensor, window: Tensor, seen: slice, norm: float, problem: Problem) -> Tensor:
    """Clips windowed in space and time, of a norm, under the constraints.

    Args:
        clips: `(clip, channel, time, height, width)`.
        window: weights `(height, width)` of the field.
        seen: stimulus frames that reach the objective; the others are grey, and cost nothing of the norm.
        norm: L2 norm.
        problem: whose constraints hold.
    """
    window = torch.where(window > FAINTEST, window, 0.0).to(clips.device)
    windowed = torch.zeros_like(clips)
    windowed[:, :, seen] = clips[:, :, seen] * window
    return constrained(problem.constraints, scale_to_norm(windowed, norm))


@torch.no_grad()
def scores_of_clips(clips: Tensor, window: Tensor, seen: slice, norm: float, problem: Problem) -> Tensor:
    """The objectives `(clip,)` of the clips; the arguments are those of `fit_clips`.

    Every clip is played: there is no ranking beforehand that could miss the best.
    """
    objective, scores = problem.objective, []
    for part in torch.split(clips, CHUNK):
        fitted = fit_clips(part, window, seen, norm, problem)
        together = objective.scores_responses
        scores += [objective.forward(rows).reshape(-1) for rows in ([fitted] if together else torch.split(fitted, 1))]
    return torch.cat(scores)
