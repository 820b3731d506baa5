"""Stimuli as sums of products of a time course and an image: the best such sum of few terms."""

from __future__ import annotations

import torch
from torch import Tensor

from openretina_cli.filters import WITHOUT_FLOAT64


def matrices(x: Tensor, jointly: bool) -> Tensor:
    """Stimuli `(batch, channel, time, height, width)` as matrices of time times space.

    Returns:
        `(batch, channel, time, height * width)`; jointly `(batch, 1, time, channel * height * width)`.
    """
    return (x.transpose(1, 2).flatten(2)[:, None] if jointly else x.flatten(3)).contiguous()


def stimuli(found: Tensor, shape: torch.Size, jointly: bool) -> Tensor:
    """The inverse of `matrices`, for stimuli of a shape `(batch, channel, time, height, width)`."""
    if not jointly:
        return found.view(shape)
    batch, channels, frames, height, width = shape
    return found.view(batch, frames, channels, height, width).transpose(1, 2).contiguous()


@torch.no_grad()
def time_courses(found: Tensor, rank: int) -> Tensor:
    """The `rank` leading left singular vectors `(..., time, rank)` of matrices, from their Gram matrix in float64."""
    double = (found.cpu() if found.device.type in WITHOUT_FLOAT64 else found).double()
    vectors: Tensor = torch.linalg.eigh(double @ double.mT)[1]
    return vectors[..., -rank:].to(found)


def truncated(x: Tensor, rank: int, jointly: bool) -> Tensor:
    """The nearest stimuli of a rank (Eckart and Young 1936, doi:10.1007/BF02288367), each row alone."""
    found = matrices(x, jointly)
    courses = time_courses(found, rank)
    return stimuli(courses @ (courses.mT @ found), x.shape, jointly)


def rank_share(x: Tensor, rank: int, jointly: bool) -> float:
    """Share of the power of one stimulus that its nearest one of a rank has; 1 for zeros."""
    power = float(x.double().square().sum())
    return float(truncated(x, rank, jointly).double().square().sum()) / power if power > 0 else 1.0
