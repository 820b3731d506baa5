"""Ranges: the lowest and highest value that a channel of a stimulus may take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from openretina_cli.checks import range_pairs
from openretina_cli.errors import SettingError

Limits = tuple[float | None, float | None]
"""Lowest and highest value of one channel, in units of the training set's standard deviation; None for no limit."""


Ranges = Sequence[Limits] | Limits | None
"""Limits per channel, one pair for all channels, or None for no limit at all."""


def read_limits(name: str, ranges: Ranges) -> tuple[Limits, ...]:
    """Return the limits as one pair per channel, or one for all.

    Raises:
        SettingError: a lowest value is above its highest, or a value is no number.
    """
    return range_pairs(name, ranges) or ((None, None),)


def range_text(limits: Sequence[Limits]) -> str:
    """Ranges in words, for titles and results."""
    return "range " + ", ".join(f"[{low}, {high}]" for low, high in limits)


def bounds(limits: tuple[Limits, ...], stimulus: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest values, shaped to broadcast over `(batch, channel, time, height, width)`.

    Raises:
        SettingError: there is neither one pair nor one per channel.
    """
    channels = stimulus.shape[1]
    if len(limits) not in (1, channels):
        raise SettingError(
            f"{len(limits)} ranges were given for a stimulus of {channels} channels",
            expected=f"one pair [minimum, maximum], or {channels} of them",
        )
    return _bounds(limits, stimulus.dim(), stimulus.dtype, stimulus.device)


@lru_cache(maxsize=64)
def _bounds(limits: tuple[Limits, ...], axes: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """What `bounds` answers; not to be changed, since all iterations share it."""
    low = [-math.inf if pair[0] is None else pair[0] for pair in limits]
    high = [math.inf if pair[1] is None else pair[1] for pair in limits]
    shape = (1, len(limits), *[1] * (axes - 2))
    ends = (torch.tensor(end, dtype=dtype, device=device).view(shape) for end in (low, high))
    return next(ends), next(ends)


def norms(stimulus: Tensor) -> Tensor:
    """L2 norm of each stimulus, shaped to broadcast over `(batch, channel, time, height, width)`."""
    found: Tensor = torch.linalg.vector_norm(stimulus, dim=tuple(range(1, stimulus.dim())), keepdim=True)
    return found


def clip_factor(x: Tensor, limits: tuple[Limits, ...]) -> Tensor:
    """The largest factor up to 1 that brings each stimulus into its limits, shaped as `norms`; limits hold zero."""
    low, high = bounds(limits, x)
    bound = torch.where(x < 0, low, high).abs()
    factor = torch.where(x.abs() > bound, bound / x.abs(), 1.0)
    return factor.flatten(1).amin(1).view(-1, *[1] * (x.dim() - 1))
