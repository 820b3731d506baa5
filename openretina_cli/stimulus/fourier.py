"""`stimulus=fourier`: the space-time frequencies of a stimulus are optimised, up to a cutoff, or their phases only."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import torch
from torch import Tensor

from openretina_cli.checks import one_of, positive, require
from openretina_cli.errors import SettingError
from openretina_cli.filters import HEIGHT, TIME, WIDTH, along, cosines, radius
from openretina_cli.models.facts import ModelFacts
from openretina_cli.stimulus.base import FromNoise
from openretina_cli.stimulus.files import read_movies

AXES = (TIME, HEIGHT, WIDTH)


def inverse_f(frames: int, height: int, width: int) -> Tensor:
    """Amplitudes `(1, time, height, width)` that fall as 1 / f in space and in time, the lowest ones as 0 too.

    Field 1987 (doi:10.1364/JOSAA.4.002379) found 1 / f in space; Dong and Atick 1995 (doi:10.1088/0954-898X_6_3_003)
    about the same in time at low spatial frequencies.
    """
    time, rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64).abs() for n in (frames, height, width))
    space = radius([rows, columns]).clamp(min=1 / max(height, width))
    found: Tensor = 1 / (time.clamp(min=1 / frames).view(1, -1, 1, 1) * space)
    return found


def mean_amplitudes(movies: Tensor, frames: int) -> Tensor:
    """Mean amplitudes `(channel, time, height, width)` of movies, cut into stretches of so many frames."""
    count = movies.shape[2] // frames
    stretches = torch.cat(movies[:, :, : count * frames].double().chunk(count, dim=2))
    found: Tensor = torch.fft.fftn(stretches, dim=AXES).abs().mean(0)
    return found


class Fourier(FromNoise):
    """Coefficients of space-time frequencies, or, with `phase_only`, phases under a magnitude spectrum that is given.

    Coefficients are those of orthonormal cosines that are mirrored at the borders, so that the first frame does not
    have to resemble the last one; frequencies above a cutoff are left out. Phases are those of the discrete Fourier
    transform, which is periodic; the magnitudes are `scale * spectrum` with one free scale, which the constraints
    decide. The mean and the few other coefficients that have a sign but no phase are zero, as no gradient leads from
    one sign to the other. A learning rate means what it means for pixels.

    Args:
        facts: what is known about the model.
        seed: of the noise.
        frames: length of the stimulus.
        cutoff: highest spatial frequency; None means no cutoff.
        unit: "cycles_per_pixel" or "cycles_per_um", of `cutoff`.
        cutoff_hz: highest temporal frequency in Hz; None means no cutoff.
        phase_only: whether magnitudes are given and phases optimised (MACO: Fel et al. 2023, arXiv:2306.06805, for
            images).
        movie: a `.pt` or `.npy` file of natural movies `(clip, channel, time, height, width)`, z-scored, whose mean
            magnitudes are taken with `phase_only`; None takes 1 / f in space and time.
        mean: of the noise, in units of the training set's standard deviation.
        std: standard deviation of the noise, in the same units.
        norm: L2 norm that the constraints keep; they refer to it as `${stimulus.norm}`.
        file: a `.pt` or `.npy` file to start from; None starts from noise.

    Raises:
        SettingError: a value is out of range, or the model does not state what a unit needs.
    """

    def __init__(
        self,
        facts: ModelFacts,
        seed: int,
        frames: int,
        cutoff: float | None = None,
        unit: Literal["cycles_per_pixel", "cycles_per_um"] = "cycles_per_pixel",
        cutoff_hz: float | None = None,
        phase_only: bool = False,
        movie: str | None = None,
        mean: float = 0.0,
        std: float = 0.1,
        norm: float = 5.0,
        file: str | None = None,
    ) -> None:
        super().__init__(facts, seed, frames, mean, std, norm, file)
        positive("cutoff", cutoff)
        positive("cutoff_hz", cutoff_hz)
        one_of("unit", unit, ("cycles_per_pixel", "cycles_per_um"))
        require(phase_only or movie is None, "movie", movie, "null, unless phase_only=true takes its magnitudes")
        self.limits = (_per_pixel(facts, cutoff, unit), _per_frame(facts, cutoff_hz))
        self._spectrum = self._magnitudes(movie) if phase_only else None
        digest = b"" if self._spectrum is None else self._spectrum.numpy().tobytes()
        self._grouping = (Fourier, self.shape[1:], self.limits, digest)

    def _kept(self, frequencies: list[Tensor]) -> Tensor:
        """Which frequencies of time, height and width `(time, height, width)` lie below the cutoffs."""
        space, time = radius(frequencies[1:]), frequencies[0].view(-1, 1, 1)
        return (space <= self.limits[0] + 1e-9) & (time <= self.limits[1] + 1e-9)

    def _passed(self) -> Tensor:
        """Which cosines `(time, height, width)` lie below the cutoffs."""
        return self._kept([cosines(n)[1] for n in self.shape[1:]])

    def _magnitudes(self, movie: str | None) -> Tensor:
        """The spectrum `(channel, time, height, width)`, of norm 1, without what has a sign only and no phase."""
        lengths = self.shape[1:]
        found = inverse_f(*lengths) if movie is None else mean_amplitudes(read_movies(movie, self.shape), lengths[0])
        frequencies = [torch.fft.fftfreq(n, dtype=torch.float64).abs() for n in lengths]
        signs = [(frequency == 0) | (frequency == 0.5) for frequency in frequencies]
        found = found * self._kept(frequencies) * ~(signs[0].view(-1, 1, 1) & signs[1].view(-1, 1) & signs[2])
        found = found.expand(self.shape[0], -1, -1, -1)
        unit: Tensor = found / torch.linalg.vector_norm(found)
        return unit.float().contiguous()

    def decode(self, parameters: Tensor) -> Tensor:
        """Stimuli `(batch, channel, time, height, width)` of coefficients, or of anything with the phases wanted."""
        if self._spectrum is not None:
            # the gradient passes as it is, and `encode` projects the step that is made along it: with the derivative of
            # the phases, steps of weak coefficients would overshoot by far
            return parameters + (self._phased(parameters.detach(), self._spectrum.to(parameters)) - parameters).detach()
        parameters = parameters * self._passed().to(parameters)
        for axis in AXES:
            parameters = along(parameters, cosines(self.shape[axis - 1])[0].T, axis)
        return parameters

    def encode(self, stimuli: Tensor) -> Tensor:
        """The coefficients below the cutoffs, or the stimuli with the spectrum that are nearest."""
        if self._spectrum is not None:
            return self._phased(stimuli, self._spectrum.to(stimuli))
        for axis in AXES:
            stimuli = along(stimuli, cosines(self.shape[axis - 1])[0], axis)
        return stimuli * self._passed().to(stimuli)

    @staticmethod
    def _phased(x: Tensor, spectrum: Tensor) -> Tensor:
        """The nearest stimuli to `x` whose magnitudes are a multiple of the spectrum."""
        coefficients = torch.fft.fftn(x, dim=AXES, norm="ortho")
        magnitudes = coefficients.abs()
        scale = (magnitudes * spectrum).flatten(1).sum(1).view(-1, 1, 1, 1, 1)
        phases = coefficients / magnitudes.clamp(min=torch.finfo(x.dtype).tiny)
        found: Tensor = torch.fft.ifftn(scale * spectrum * phases, dim=AXES, norm="ortho").real
        return found.contiguous()

    def grouping(self) -> Hashable:
        """Equal cutoffs and spectra decode alike."""
        return self._grouping


def _per_pixel(facts: ModelFacts, cutoff: float | None, unit: str) -> float:
    if cutoff is None or unit == "cycles_per_pixel":
        return float("inf") if cutoff is None else cutoff
    if facts.pixel_size is None:
        raise SettingError(
            f"unit={unit}: {facts.name} does not say how large a pixel is", repair="stimulus.unit=cycles_per_pixel"
        )
    return cutoff * facts.pixel_size


def _per_frame(facts: ModelFacts, cutoff_hz: float | None) -> float:
    if cutoff_hz is None:
        return float("inf")
    if facts.frame_rate is None:
        raise SettingError(
            f"cutoff_hz={cutoff_hz:g}: {facts.name} states no frame rate", repair="stimulus.cutoff_hz=null"
        )
    return cutoff_hz / facts.frame_rate
