"""`stimulus=low_rank`: a stimulus is a sum of few products of a time course and an image."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.models.facts import ModelFacts
from openretina_cli.separable import matrices, stimuli, time_courses, truncated
from openretina_cli.stimulus.base import FromNoise


class LowRank(FromNoise):
    """The stimuli of a rank, from noise or a saved stimulus.

    The parameters have the shape of a stimulus. `decode` makes the nearest stimulus of the rank of them, from
    orthonormal factors, and lets through the part of the gradient along which the rank does not change: with the
    factors U of time and V of space, `U U' G + G V V' - U U' G V V'`. So a learning rate means what it means for pixels
    (Riemannian gradient with the projection as retraction: Vandereycken 2013, doi:10.1137/110845768, eq. 2.5 and 3.2).

    Args:
        facts: what is known about the model.
        seed: of the noise.
        frames: length of the stimulus.
        rank: number of products of a time course and an image.
        jointly: whether all channels share their time courses; if not, each channel has its own.
        mean: of the noise, in units of the training set's standard deviation.
        std: standard deviation of the noise, in the same units.
        norm: L2 norm that the constraints keep; they refer to it as `${stimulus.norm}`.
        file: a `.pt` or `.npy` file to start from; None starts from noise.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        facts: ModelFacts,
        seed: int,
        frames: int,
        rank: int = 1,
        jointly: bool = False,
        mean: float = 0.0,
        std: float = 0.1,
        norm: float = 5.0,
        file: str | None = None,
    ) -> None:
        super().__init__(facts, seed, frames, mean, std, norm, file)
        require(rank >= 1, "rank", rank, "1 or more")
        self.rank, self.jointly = rank, jointly

    def decode(self, parameters: Tensor) -> Tensor:
        """The nearest stimuli of the rank, with the gradient described above."""
        found = matrices(parameters, self.jointly)
        with torch.no_grad():
            courses = time_courses(found, self.rank)
            images = found.mT @ courses
            sizes = torch.linalg.vector_norm(images, dim=-2, keepdim=True)
            largest = sizes.amax(-1, keepdim=True)
            images = torch.where(sizes > largest * torch.finfo(found.dtype).eps, images / sizes, 0.0)
        in_time = courses @ (courses.mT @ found)
        rest = found - in_time
        return stimuli(in_time + (rest @ images) @ images.mT, parameters.shape, self.jointly)

    def encode(self, stimuli: Tensor) -> Tensor:
        """The nearest stimuli of the rank."""
        return truncated(stimuli, self.rank, self.jointly)

    def grouping(self) -> Hashable:
        """Stimuli of equal rank are decoded alike."""
        return LowRank, self.rank, self.jointly
