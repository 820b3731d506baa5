"""Constraints (postprocessors) are hard: they are applied to the stimulus after every step, in the order listed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from openretina_cli.errors import SettingError
from openretina_cli.optimization.stimulus_range import Limits, bounds, check_limits, norms

NORM_TOLERANCE = 0.01
"""A norm that ends further than 1 % from the one asked for is reported."""


WITHOUT_FLOAT64 = ("mps",)
"""Kinds of devices that have no float64; sums that need it are taken on the CPU."""


class Constraint(ABC):
    """A rule that maps stimuli to allowed ones, each stimulus of a batch alone; it never changes its input."""

    @abstractmethod
    def process(self, x: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to allowed ones of the same shape."""

    def check(self, x: Tensor) -> str | None:
        """Say what a finished stimulus `(1, channel, time, height, width)` lacks, or None."""
        del x
        return None


def check_norm(norm: float) -> float:
    """Return the norm.

    Raises:
        SettingError: it is not a positive number.
    """
    if not (norm > 0 and math.isfinite(norm)):
        raise SettingError(f"a norm of {norm:g}", expected="a positive number")
    return float(norm)


def _rescale(x: Tensor, norm: float, at_most: bool = False) -> Tensor:
    """Scale each stimulus to a norm; a stimulus of zeros has no direction and stays as it is."""
    current = norms(x)
    factor = norm / torch.where(current > 0, current, norm)
    return x * (factor.clamp(max=1) if at_most else factor)


def _squares(x: Tensor) -> Tensor:
    """Squared norm of each stimulus, in float64: sums over some 10^4 squares are compared with each other."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim())), keepdim=True, dtype=torch.float64)
    return norm.square()


def _missed_norm(x: Tensor, norm: float, at_most: bool = False) -> str | None:
    current = float(norms(x))
    missed = current - norm if at_most else abs(current - norm)
    if missed <= NORM_TOLERANCE * norm:
        return None
    if current == 0:
        return f"the stimulus is zero everywhere, so its norm could not be made {norm:g}"
    return f"the norm is {current:.4g} where {norm:g} was asked; constraint=[norm_and_range] keeps norm and range"


class ClipRange(Constraint):
    """Clip every value to its channel's range.

    Args:
        min_max_values: lowest and highest value per channel, None for no limit; one pair serves all channels.

    Raises:
        SettingError: a lowest value is above its highest.
    """

    def __init__(self, min_max_values: Iterable[Limits]) -> None:
        self.limits = check_limits(min_max_values)

    def process(self, x: Tensor) -> Tensor:
        """Clip `(batch, channel, time, height, width)`."""
        return torch.clamp(x, *bounds(self.limits, x))

    def __repr__(self) -> str:
        return "range " + ", ".join(f"[{low}, {high}]" for low, high in self.limits)


class ChangeNorm(Constraint):
    """Scale each stimulus to an L2 norm over all of its values.

    Args:
        norm: the norm.
        mode: "exactly" scales up and down, "at_most" only down.

    Raises:
        SettingError: the norm is not positive, or the mode unknown.
    """

    def __init__(self, norm: float, mode: Literal["exactly", "at_most"] = "exactly") -> None:
        if mode not in ("exactly", "at_most"):
            raise SettingError(f"constraint.norm.mode={mode}", expected="exactly or at_most")
        self.norm = check_norm(norm)
        self.at_most = mode == "at_most"

    def process(self, x: Tensor) -> Tensor:
        """Scale `(batch, channel, time, height, width)`."""
        return _rescale(x, self.norm, self.at_most)

    def check(self, x: Tensor) -> str | None:
        """Say if the norm was missed."""
        return _missed_norm(x, self.norm, self.at_most)

    def __repr__(self) -> str:
        return f"norm {'at most' if self.at_most else 'exactly'} {self.norm:g}"


class ChangeNormJointlyClipRangeSeparately(Constraint):
    """Scale each stimulus to a norm over all channels, then clip every channel to its own range.

    The example notebook's constraint (openretina 1.1.1). Where the range clips, the norm ends below the one asked for;
    `check` says so, and `NormAndRange` keeps both.

    Args:
        min_max_values: lowest and highest value per channel, None for no limit; one pair serves all channels.
        norm: the L2 norm before clipping; None leaves it as it is.

    Raises:
        SettingError: a lowest value is above its highest, or the norm is not positive.
    """

    def __init__(self, min_max_values: Iterable[Limits], norm: float | None) -> None:
        self.range = ClipRange(min_max_values)
        self.norm = None if norm is None else check_norm(norm)

    def process(self, x: Tensor) -> Tensor:
        """Scale and clip `(batch, channel, time, height, width)`."""
        return self.range.process(x if self.norm is None else _rescale(x, self.norm))

    def check(self, x: Tensor) -> str | None:
        """Say if clipping broke the norm."""
        return None if self.norm is None else _missed_norm(x, self.norm)

    def __repr__(self) -> str:
        return ("" if self.norm is None else f"norm {self.norm:g}, then ") + repr(self.range)


class NormAndRange(Constraint):
    """The nearest stimulus that has the norm and lies in the range, both at once.

    Minimising |x - y|^2 over |x| = norm and low <= x <= high leads, by its Lagrangian, to x = clip(s * y, low, high)
    with one factor s > 0. The norm of clip(s * y) never falls as s grows, so s is found by scaling what the range has
    not yet clipped until nothing more is clipped; each round clips a superset of the last, so the rounds end.

    Args:
        min_max_values: lowest and highest value per channel, None for no limit; one pair serves all channels. Zero,
            the training set's mean, must lie inside.
        norm: the L2 norm.
        mode: "exactly", or "at_most" to leave smaller stimuli as they are.

    Raises:
        SettingError: the norm is not positive, or a range does not hold zero.
    """

    ROUNDS = 100
    """More rounds than were ever needed (about ten); it bounds the time, and the remainder is below rounding."""

    def __init__(
        self, min_max_values: Iterable[Limits], norm: float, mode: Literal["exactly", "at_most"] = "exactly"
    ) -> None:
        self.range = ClipRange(min_max_values)
        self.target = ChangeNorm(norm, mode)
        for low, high in self.range.limits:
            if (low is not None and low > 0) or (high is not None and high < 0):
                raise SettingError(f"the range [{low}, {high}] leaves out 0", expected="minimum <= 0 <= maximum")

    def process(self, x: Tensor) -> Tensor:
        """Project `(batch, channel, time, height, width)`; where the range is too tight for the norm, fill it."""
        if x.device.type in WITHOUT_FLOAT64:
            return self._projected(x.cpu()).to(x)
        return self._projected(x)

    def _projected(self, x: Tensor) -> Tensor:
        clipped, free = self.range.process(x), torch.ones_like(x, dtype=torch.bool)
        stays = (norms(clipped) <= self.target.norm) & self.target.at_most
        scale = torch.zeros_like(norms(x), dtype=torch.float64)
        for _ in range(self.ROUNDS):
            used, left = (_squares(some) for some in (clipped.masked_fill(free, 0), x.masked_fill(~free, 0)))
            wanted = torch.sqrt((self.target.norm**2 - used).clamp(min=0) / left)
            grows = ~stays & (left > 0) & (wanted > scale)
            if not grows.any():
                break
            scale = torch.where(grows, wanted, scale)
            scaled = x * scale.to(x.dtype)
            clipped = torch.where(grows, self.range.process(scaled), clipped)
            free = clipped == scaled
        return clipped

    def check(self, x: Tensor) -> str | None:
        """Say if the norm cannot be reached inside the range."""
        if (missed := _missed_norm(x, self.target.norm, self.target.at_most)) is None:
            return None
        return f"the norm {self.target.norm:g} cannot be reached inside the range: {missed.partition(';')[0]}"

    def __repr__(self) -> str:
        return f"{self.target!r} within {self.range!r}"


class TemporalGaussianLowPass(Constraint):
    """Smooth every pixel over time with a Gaussian.

    Args:
        sigma: the Gaussian's standard deviation in frames.
        kernel_size: odd number of frames.
        padding: "edge" continues the first and last frame, so that a constant stimulus stays constant; "zeros" darkens
            them towards zero, as openretina 1.1.1 does.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(self, sigma: float, kernel_size: int, padding: Literal["edge", "zeros"] = "edge") -> None:
        if not sigma > 0 or kernel_size < 1 or kernel_size % 2 == 0:
            raise SettingError(
                f"a low-pass of sigma={sigma:g} and kernel_size={kernel_size}",
                expected="sigma > 0 and an odd kernel_size (an even one would shift the stimulus in time)",
            )
        if padding not in ("edge", "zeros"):
            raise SettingError(f"a low-pass of padding={padding}", expected="edge or zeros")
        self.sigma = sigma
        self.kernel_size = kernel_size
        self.padding: Literal["edge", "zeros"] = padding

    def process(self, x: Tensor) -> Tensor:
        """Smooth `(batch, channel, time, height, width)`."""
        half = self.kernel_size // 2
        offsets = torch.arange(-half, half + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-offsets.square() / (2 * self.sigma**2))
        kernel = (kernel / kernel.sum()).view(1, 1, -1)
        batch, channels, frames, height, width = x.shape
        traces = x.movedim(2, -1).reshape(-1, 1, frames)
        padded = F.pad(traces, (half, half), mode="replicate" if self.padding == "edge" else "constant")
        smooth = F.conv1d(padded, kernel)
        return smooth.reshape(batch, channels, height, width, frames).movedim(-1, 2).contiguous()

    def __repr__(self) -> str:
        return f"temporal low-pass of sigma {self.sigma:g} frames ({self.padding} padding)"
