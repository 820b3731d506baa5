"""The full-field chirp of the Euler lab: a bright step, rising frequency, rising contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from openretina_cli.checks import positive
from openretina_cli.probe.base import (
    LIGHT_LINE,
    LINE,
    Answer,
    Indices,
    Played,
    Probe,
    Scene,
    Values,
    above,
    check_hertz,
    polarity_index,
    titled,
    traces,
)

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


class Chirp(Probe):
    """Dark, bright, dark, grey, a sine of rising frequency, grey, a sine of rising contrast, grey, dark.

    The order and the lengths of the grey parts are those of the script RGC_Chirp of QDSpy, which Baden et al. 2016
    (doi:10.1038/nature16468) showed.

    Args:
        dark_s: seconds of dark at the beginning, and at the end.
        step_s: seconds of the bright step, and of the dark after it.
        grey_s: seconds of grey before, between and after the sines.
        sweep_s: seconds of each of the two sines.
        highest_hz: frequency at the end of the first sine, which begins at zero.
        contrast_hz: frequency of the second sine.
        contrast: of the step and of the sines at their largest, relative to the amplitude.

    Raises:
        SettingError: a value is not positive.
    """

    headline: ClassVar[Mapping[str, str]] = {"on_off": "ON-OFF"}
    width = 12

    def __init__(
        self,
        dark_s: float,
        step_s: float,
        grey_s: float,
        sweep_s: float,
        highest_hz: float,
        contrast_hz: float,
        contrast: float,
    ) -> None:
        for name, value in vars().copy().items():
            if name != "self":
                positive(name, value)
        self.highest_hz, self.contrast_hz, self.level = highest_hz, contrast_hz, contrast
        self.parts = (dark_s, step_s, step_s, grey_s, sweep_s, grey_s, sweep_s, grey_s, dark_s)
        self.starts = np.cumsum((0, *self.parts))

    def check(self, scene: Scene) -> None:
        """See `Probe.check`."""
        check_hertz("highest_hz", self.highest_hz, scene)
        check_hertz("contrast_hz", self.contrast_hz, scene)

    def trials(self, scene: Scene) -> int:
        """One."""
        del scene
        return 1

    def frames(self, scene: Scene) -> int:
        """All parts."""
        return scene.frames(float(self.starts[-1]))

    def light(self, time: Values) -> Values:
        """Contrast at times in seconds; the dark of the beginning also before."""
        part = np.clip(np.searchsorted(self.starts, time, side="right") - 1, 0, len(self.parts) - 1)
        since, sweep = time - self.starts[part], self.parts[4]
        rising = np.sin(np.pi * self.highest_hz / sweep * since**2)
        growing = np.sin(2 * np.pi * self.contrast_hz * since) * since / sweep
        grey = np.zeros_like(time)
        choices = [grey - 1, grey + 1, grey - 1, grey, rising, grey, growing, grey, grey - 1]
        return np.asarray(self.level * np.choose(part, choices))

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`."""
        shown: Values = np.broadcast_to(self.light(scene.seconds(frames)), (len(trials), len(frames)))
        return shown[:, None, :, None, None]

    def measure(self, scene: Scene, played: Played) -> Answer:
        """`on_off`: bright step against the dark after it; `best_hz`: where the first sine moves the response most."""
        change = played.change[0]
        starts = self.starts
        on, off = (above(change[scene.window(starts[part], starts[part + 1])]) for part in (1, 2))
        spans = np.arange(max(int(self.parts[4]), 1))
        width = self.parts[4] / len(spans)
        middles = (spans + 0.5) * self.highest_hz / len(spans)
        swings = np.stack(
            [
                change[scene.window(starts[4] + width * span, starts[4] + width * (span + 1))].std(0)
                for span in spans  # a second each
            ]
        )
        best = np.where(swings.max(0) > 0, middles[swings.argmax(0)], np.nan)
        time = scene.response_times(len(change))
        axes = {"time_s": time, "contrast": self.light(time)}
        return Answer(
            {"on_off": polarity_index(on, off, played.least), "best_hz": best}, {"trace": traces(played)}, axes
        )

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """The trace above the contrast."""
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        time = answer.axes["time_s"]
        upper.plot(time, answer.arrays["trace"][row, 0], color=LINE, linewidth=1)
        upper.set_ylabel("response")
        upper.set_title(titled("Chirp", "ON-OFF", float(answer.columns["on_off"][row])), loc="left")
        upper.set_xlim(0, float(time[-1]))
        lower.plot(time, answer.axes["contrast"], color=LIGHT_LINE, linewidth=1)
        lower.set_ylabel("contrast")
        lower.set_xlabel("time (s)")
