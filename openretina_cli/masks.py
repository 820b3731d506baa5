"""Masks: which part of the field counts, from a file, a Gaussian, or the field of an earlier stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from openretina_cli.checks import positive, require, spelt
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.filters import MAX_SIGMA, SPACE, smoothed
from openretina_cli.models.tensor_file import read_tensor
from openretina_cli.store.arrays import read_stimulus

if TYPE_CHECKING:  # models are on the same floor
    from openretina_cli.models.facts import ModelFacts


@dataclass(frozen=True)
class Mask:
    """A mask that can be compared, so that runs of equal masks share calls.

    Attributes:
        values: float32 values `(height, width)` from 0 to 1, row by row.
        width: pixels in a row.
        text: what it is, for results.
    """

    values: bytes
    width: int
    text: str

    def like(self, x: Tensor) -> Tensor:
        """The mask `(height, width)` in the type and on the device of `x`."""
        return torch.frombuffer(bytearray(self.values), dtype=torch.float32).view(-1, self.width).to(x)


class FieldMask:
    """What the constraint and the gradient step called `mask` share: where their mask comes from.

    Args:
        facts: what is known about the model.
        file: a `.pt` or `.npy` file with values `(height, width)` from 0 to 1.
        sigma_um: standard deviation in um of a Gaussian mask.
        center: row and column of its centre in pixels from 0; None means the middle of the field.
        from_run: the folder of a finished run, whose stimulus' field is the mask.
        threshold: how many standard deviations above its mean over pixels a pixel's amplitude counts as the field.
        edge: standard deviation in pixels of the Gaussian that softens the edge of that field.

    Raises:
        SettingError: not exactly one of file, sigma_um and from_run is given, or it does not fit the model.
        ArtifactError: the run has no stimulus that can be read.
    """

    group: ClassVar[str]

    def __init__(
        self,
        facts: ModelFacts,
        file: str | None = None,
        sigma_um: float | None = None,
        center: list[float] | None = None,
        from_run: str | None = None,
        threshold: float = 1.0,
        edge: float = 1.0,
    ) -> None:
        values = {"file": file, "sigma_um": sigma_um, "from_run": from_run}
        given = [f"{name}={spelt(value)}" for name, value in values.items() if value is not None]
        if len(given) != 1:
            problem = " and ".join(given) or "file=null, as are sigma_um and from_run"
            raise SettingError(
                problem, expected=f"one of {', '.join(values)}", repair=f"{self.group}.mask.sigma_um=150"
            )
        if file is not None:
            mask = _from_file(file)
        elif from_run is not None:
            mask = _from_run(from_run, threshold, edge)
        else:
            mask = _gaussian(facts, sigma_um or 0.0, center)
        if mask.shape != (facts.height, facts.width):
            expected = f"{facts.height} x {facts.width} pixels, as of {facts.name}"
            raise SettingError(f"{given[0]} has {mask.shape[0]} x {mask.shape[1]} pixels", expected=expected)
        self.mask = Mask(mask.float().contiguous().numpy().tobytes(), facts.width, given[0])


def _from_file(file: str) -> Tensor:
    mask = read_tensor("file", file)
    if mask.dim() != 2 or not bool(((mask >= 0) & (mask <= 1)).all()):
        shape = tuple(mask.shape)
        raise SettingError(f"file={file} holds shape {shape}", expected="(height, width), values from 0 to 1")
    return mask


def _gaussian(facts: ModelFacts, sigma_um: float, center: list[float] | None) -> Tensor:
    positive("sigma_um", sigma_um)
    require(center is None or len(center) == 2, "center", center, "a row and a column, such as [9,8]")
    if facts.pixel_size is None:
        problem = f"sigma_um={sigma_um:g}: {facts.name} does not say how large a pixel is"
        raise SettingError(problem, repair="model.pixel_size=UM")
    row, column = center or [(facts.height - 1) / 2, (facts.width - 1) / 2]
    rows, columns = torch.arange(facts.height) - row, torch.arange(facts.width) - column
    squares = rows.square()[:, None] + columns.square()[None]
    return torch.exp(-squares * (facts.pixel_size / sigma_um) ** 2 / 2)


def field_of(stimulus: Tensor, threshold: float, edge: float) -> Tensor:
    """The field of a stimulus `(channel, time, height, width)`: pixels whose amplitude stands out, with a soft edge.

    A pixel's amplitude is the root mean square over channels and frames; it is z-scored over pixels and compared with
    the threshold, as in sinzlab/mei and laminr, which do so for images. The edge is a Gaussian's.

    Returns:
        The mask `(height, width)`, empty where no pixel stands out.
    """
    amplitude = stimulus.double().square().mean((0, 1)).sqrt()
    spread = amplitude.std().clamp(min=torch.finfo(torch.float64).tiny)
    field = ((amplitude - amplitude.mean()) / spread > threshold).double()
    return smoothed(field[None, None, None], edge, SPACE, "edge")[0, 0, 0]


def _from_run(folder: str, threshold: float, edge: float) -> Tensor:
    require(0 <= edge <= MAX_SIGMA, "edge", edge, f"0 to {MAX_SIGMA:g}")
    try:
        stimulus = torch.from_numpy(read_stimulus(Path(folder).expanduser()))
    except ArtifactError as error:
        raise SettingError(f"from_run: {error.problem}", expected="the folder of a finished run") from error
    mask = field_of(stimulus, threshold, edge)
    if not bool(mask.any()):
        raise SettingError(f"threshold={threshold:g}: no pixel of {folder} stands out so far", expected="less")
    return mask
