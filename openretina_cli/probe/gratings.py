"""Drifting gratings of several directions and periods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from openretina_cli.checks import positive, require, spelt
from openretina_cli.errors import SettingError
from openretina_cli.probe.base import LINE, Answer, Indices, Played, Scene, Values, check_hertz, ratio
from openretina_cli.probe.motion import Motion, draw_polar

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


class DriftingGratings(Motion):
    """A sinusoidal grating for each direction and period.

    Args:
        directions: see `Motion`, as `repeats`, `quality` and `permutations`.
        periods_um: spatial periods.
        hertz: temporal frequency.
        cycles: temporal cycles that are measured; one more is shown before them.
        contrast: relative to the amplitude.

    Raises:
        SettingError: a value is out of range.
    """

    headline: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        directions: int,
        periods_um: list[float],
        hertz: float,
        cycles: int,
        contrast: float,
        repeats: int,
        quality: float,
        permutations: int,
    ) -> None:
        super().__init__(directions, repeats, quality, permutations)
        fits = 1 <= len(periods_um) <= 50 and all(period > 0 for period in periods_um)
        require(fits, "periods_um", periods_um, "1 to 50 positive numbers, such as [200,400,800]")
        positive("hertz", hertz)
        positive("contrast", contrast)
        require(1 <= cycles <= 100, "cycles", cycles, "1 to 100")
        self.periods, self.hertz, self.cycles, self.level = np.array(periods_um), hertz, cycles, contrast

    def check(self, scene: Scene) -> None:
        """See `Probe.check`."""
        check_hertz("hertz", self.hertz, scene)
        if self.periods.min() < 2 * scene.pixel:
            raise SettingError(
                f"periods_um={spelt(self.periods.tolist())}",
                expected=f"periods of {2 * scene.pixel:g} um or more, two pixels of {scene.facts.name}",
            )

    def trials(self, scene: Scene) -> int:
        """Every direction with every period."""
        del scene
        return self.directions * len(self.periods)

    def frames(self, scene: Scene) -> int:
        """The cycles that are measured, and one before."""
        return scene.frames((self.cycles + 1) / self.hertz)

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`."""
        period, direction = np.divmod(trials, self.directions)
        angle, wave = (v[:, None, None, None, None] for v in (self.angles[direction], self.periods[period]))
        along = scene.x * np.cos(angle) + scene.y * np.sin(angle)
        time = scene.seconds(frames)[:, None, None]
        return np.asarray(self.level * np.sin(2 * np.pi * (along / wave - self.hertz * time)) * (time >= 0))

    def measure(self, scene: Scene, played: Played) -> Answer:
        """Selectivity at the best period; the best period; F1 / F0 there, in the best direction.

        F1 is the amplitude of the response at the grating's frequency, F0 the change of its mean from the background
        (Skottun et al. 1991, doi:10.1016/0042-6989(91)90033-2).
        """
        span = scene.window(1 / self.hertz, (self.cycles + 1) / self.hertz)
        change = played.change[:, span]
        time = scene.response_times(played.response.shape[1])[span]
        shape = (len(self.periods), self.directions, *change.shape[1:])
        # F0 is the change of the mean, and F1 the amplitude at the grating's frequency
        f0 = change.mean(1).reshape(*shape[:2], -1)
        wave = np.exp(-2j * np.pi * self.hertz * time)
        f1 = 2 * np.abs(np.einsum("t,ktn->kn", wave, change)).reshape(f0.shape) / len(time)
        power = np.sqrt(np.square(change).mean(1)).reshape(f0.shape).mean(1)  # (period, neuron)
        best = power.argmax(0)
        neurons = np.arange(len(best))
        chosen = change.reshape(shape)[best, :, :, neurons].transpose(1, 2, 0)
        answer = self.tuned(scene, np.asarray(chosen), np.abs(played.response).max((0, 1)))
        strongest = answer.arrays["tuning"].argmax(1)
        modulation = ratio(f1[best, strongest, neurons], f0[best, strongest, neurons])
        silent = np.isnan(answer.columns["dsi"])
        columns = {**answer.columns, "best_um": np.where(silent, np.nan, self.periods[best])}
        columns["f1_f0"] = np.where(silent, np.nan, modulation)
        return Answer(columns, {**answer.arrays, "power": power.T}, {**answer.axes, "period_um": self.periods})

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Response against the period, and a polar plot at the best."""
        left, right = figure.subfigures(1, 2, squeeze=False).flat
        ax = left.subplots()
        ax.plot(answer.axes["period_um"], answer.arrays["power"][row], "o-", color=LINE, markersize=3)
        ax.set_xscale("log")
        ax.set_xticks(self.periods, [f"{period:g}" for period in self.periods])
        ax.minorticks_off()
        ax.set_ylim(0, 1.1 * float(answer.arrays["power"][row].max()) or 1)
        ax.set_xlabel("period (µm)")
        ax.set_ylabel("response (RMS)")
        ax.set_title("Gratings", loc="left")
        draw_polar(right.subplots(subplot_kw={"projection": "polar"}), answer, row)
