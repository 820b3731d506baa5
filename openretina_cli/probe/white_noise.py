"""Binary white noise that never repeats within its period, and the spike-triggered average."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.m_sequence import TAPS, kernel, m_sequence
from openretina_cli.checks import positive, require
from openretina_cli.errors import SettingError
from openretina_cli.output.colors import channel_looks
from openretina_cli.probe.base import Answer, Indices, Optimum, Played, Probe, Scene, Values, titled

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

NEURONS_AT_ONCE = 64
"""Neurons whose spectra are in memory together."""


class WhiteNoise(Probe):
    """An m-sequence, of which every check and channel shows another part, followed by its reverse in contrast.

    Correlations of a linear cell with the sequence are its filter without error, which takes random noise a hundred
    times as many frames as the filter has values (Sutter 1987; Reid, Victor and Shapley 1997,
    doi:10.1017/S0952523800011743). The reverse cancels even orders of nonlinear cells (Sutter 1987).

    Args:
        check_um: edge of a check, rounded to whole pixels; None takes the smallest for which the noise is not too long.
        longest_s: most seconds of noise.
        contrast: relative to the amplitude.

    Raises:
        SettingError: a value is not positive.
    """

    headline: ClassVar[Mapping[str, str]] = {"mei_cosine": "STA.MEI"}
    width = 7

    def __init__(self, check_um: float | None, longest_s: float, contrast: float) -> None:
        for name in ("check_um", "longest_s", "contrast"):
            positive(name, vars()[name])
        self.check_um, self.longest_s, self.level = check_um, longest_s, contrast

    def check(self, scene: Scene) -> None:
        """See `Probe.check`."""
        pixels, order = self._plan(scene)
        if self._seconds(scene, order) > self.longest_s:
            wanted = "" if self.check_um is None else f", as checks of {pixels} pixels need it"
            raise SettingError(
                f"longest_s={self.longest_s:g}",
                expected=f"{math.ceil(self._seconds(scene, order))} seconds or more{wanted}",
            )

    def _seconds(self, scene: Scene, order: int) -> float:
        return float(2 * (2**order - 1) * scene.facts.response_stride / scene.rate)

    def _grid(self, scene: Scene, pixels: int) -> tuple[int, int, int]:
        """Channels, rows and columns of checks."""
        return len(scene.facts.channels), -(-scene.facts.height // pixels), -(-scene.facts.width // pixels)

    def _order(self, scene: Scene, pixels: int) -> int:
        """The shortest m-sequence that holds every value of a filter, and visits every frame at the response's stride.

        Raises:
            SettingError: none is known that is long enough.
        """
        values = math.prod(self._grid(scene, pixels)) * (scene.facts.lag + 1)
        for order in TAPS:
            if 2**order - 1 >= values and math.gcd(2**order - 1, scene.facts.response_stride) == 1:
                return order
        raise SettingError(
            f"check_um={self.check_um}: a filter has {values} values", expected=f"at most {2 ** max(TAPS) - 1}"
        )

    def _plan(self, scene: Scene) -> tuple[int, int]:
        """Pixels along the edge of a check, and the order of the sequence."""
        if self.check_um is not None:
            require(
                self.check_um >= scene.pixel / 2, "check_um", self.check_um, f"a pixel, {scene.pixel:g} um, or more"
            )
            pixels = max(round(self.check_um / scene.pixel), 1)
            return pixels, self._order(scene, pixels)
        largest = max(scene.facts.height, scene.facts.width)
        for pixels in range(1, largest):
            values = math.prod(self._grid(scene, pixels)) * (scene.facts.lag + 1)
            if values < 2 ** max(TAPS) and self._seconds(scene, self._order(scene, pixels)) <= self.longest_s:
                return pixels, self._order(scene, pixels)
        return largest, self._order(scene, largest)

    def trials(self, scene: Scene) -> int:
        """The sequence, and its reverse."""
        del scene
        return 2

    def frames(self, scene: Scene) -> int:
        """One period, or as many as the response's stride needs to visit every frame of it."""
        return int(2 ** self._plan(scene)[1] - 1) * scene.facts.response_stride

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> NDArray[np.int8]:
        """See `Probe.contrast`; check number i is i filters behind, and the warm-up is the end of the period."""
        pixels, order = self._plan(scene)
        sequence, grid = m_sequence(order), self._grid(scene, pixels)
        behind = np.arange(math.prod(grid)) * (scene.facts.lag + 1)
        noise = sequence[(frames[:, None] - behind) % len(sequence)].reshape(-1, *grid).transpose(1, 0, 2, 3)
        noise = noise.repeat(pixels, axis=2).repeat(pixels, axis=3)[..., : scene.facts.height, : scene.facts.width]
        sign = np.where(trials % 2, -1, 1).astype(np.int8)[:, None, None, None, None]
        shown = sign * noise
        return np.asarray(shown if self.level == 1 else self.level * shown)

    def measure(self, scene: Scene, played: Played) -> Answer:
        """The average, when it peaks, and its likeness to an optimised stimulus.

        `sta` `(neuron, channel, frame before the response, height, width)`, newest frame first, is what one unit of the
        stimulus adds to the response; the spike-triggered average is that times the variance of the noise, divided by
        the mean response. `mei_cosine` is the cosine between a cell's optimised stimulus and the one that drives a
        linear cell with this average most: the average, reversed in time, at every response frame of the window.
        """
        pixels, order = self._plan(scene)
        sequence, grid, memory = m_sequence(order), self._grid(scene, pixels), scene.facts.lag + 1
        odd = np.zeros((len(sequence), len(scene.neurons)))
        odd[np.arange(len(odd)) * scene.facts.response_stride % len(odd)] = (
            played.response[0].astype(np.float64) - played.response[1]
        ) / 2
        count = math.prod(grid) * memory
        found = [
            kernel(odd[:, start : start + NEURONS_AT_ONCE], sequence)[:count]
            for start in range(0, odd.shape[1], NEURONS_AT_ONCE)
        ]
        checks = np.concatenate(found, axis=1).T.reshape(-1, *grid, memory).transpose(0, 1, 4, 2, 3)
        per_unit = checks / (self.level * scene.amplitude[:, None, None, None] * _areas(scene, pixels))
        sta = per_unit.repeat(pixels, 3).repeat(pixels, 4)[..., : scene.facts.height, : scene.facts.width]
        energy = np.square(sta).sum((1, 3, 4))
        peak = np.where(energy.max(1) > 0, energy.argmax(1) / scene.rate, np.nan)
        columns = {"peak_s": peak, "mei_cosine": self._cosines(scene, sta)}
        return Answer(columns, {"sta": sta.astype(np.float32)}, {"before_s": np.arange(memory) / scene.rate})

    def _cosines(self, scene: Scene, sta: Values) -> Values:
        found = np.full(len(scene.neurons), np.nan)
        for row, neuron in enumerate(scene.neurons):
            if neuron in scene.optima:
                found[row] = cosine_with(sta[row], scene.optima[neuron], scene)
        return found

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Every channel in space at the time of its peak, and its time course at the pixel of most energy."""
        sta = answer.arrays["sta"][row].astype(np.float64)
        energy = np.square(sta).sum(0)
        frame, y, x = np.unravel_index(energy.argmax(), energy.shape)
        limit = float(np.abs(sta).max()) or 1.0
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[len(sta), 1.2]).flat
        looks = channel_looks(scene.facts.channels)
        for ax, picture, look in zip(left.subplots(1, len(sta), squeeze=False).flat, sta[:, frame], looks, strict=True):
            ax.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set_title(look.name, color=look.line)
            ax.set_xticks([])
            ax.set_yticks([])
        ax = right.subplots()
        for trace, look in zip(sta[:, :, y, x], looks, strict=True):
            ax.plot(-answer.axes["before_s"].astype(np.float64), trace, color=look.line, linewidth=1.2)
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        ax.set_xlabel("time before response (s)")
        ax.set_ylabel("response per unit")
        cosine = float(answer.columns["mei_cosine"][row])
        ax.set_title(titled("White noise", "MEI cosine", cosine), loc="left")


def _areas(scene: Scene, pixels: int) -> Values:
    """Pixels `(row, column)` of every check; those at the edge may be cut."""
    rows, columns = (
        np.minimum(pixels, size - np.arange(0, size, pixels)) for size in (scene.facts.height, scene.facts.width)
    )
    return np.asarray(np.outer(rows, columns), np.float64)


def cosine_with(sta: Values, optimum: Optimum, scene: Scene) -> float:
    """Cosine between an optimised stimulus and what drives a linear cell most over the optimised window."""
    best = np.zeros_like(optimum.values, np.float64)
    lag, stride = scene.facts.lag, scene.facts.response_stride
    for frame in range(*optimum.window):
        best[:, stride * frame : stride * frame + lag + 1] += sta[:, ::-1]
    norms = np.linalg.norm(best) * np.linalg.norm(optimum.values.astype(np.float64))
    return float((best * optimum.values).sum() / norms) if norms > 0 else math.nan
