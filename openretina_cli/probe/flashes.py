"""Full-field flashes of each colour alone and of all together, brighter and darker than the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from openretina_cli.checks import positive, require
from openretina_cli.output.colors import channel_looks
from openretina_cli.probe.base import (
    LINE,
    Answer,
    Indices,
    Played,
    Probe,
    Scene,
    Values,
    above,
    polarity_index,
    ratio,
    traces,
)

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


class ColourFlashes(Probe):
    """Bright and dark flashes: of all channels, then of each alone where there are several.

    Args:
        flash_s: seconds of a flash.
        after_s: seconds of background after it.
        contrast: relative to the amplitude.

    Raises:
        SettingError: a value is out of range.
    """

    headline: ClassVar[Mapping[str, str]] = {}
    width = 5

    def __init__(self, flash_s: float, after_s: float, contrast: float) -> None:
        positive("flash_s", flash_s)
        positive("contrast", contrast)
        require(0 <= after_s <= 60, "after_s", after_s, "0 to 60 seconds")
        self.flash, self.after, self.level = flash_s, after_s, contrast

    def _lit(self, scene: Scene) -> Values:
        """`(colour, channel)`: which channels a flash has."""
        count = len(scene.facts.channels)
        return np.concatenate([np.ones((1, count)), np.eye(count)]) if count > 1 else np.ones((1, 1))

    def trials(self, scene: Scene) -> int:
        """Bright and dark, for every colour."""
        return 2 * len(self._lit(scene))

    def frames(self, scene: Scene) -> int:
        """A flash, and what follows."""
        return scene.frames(self.flash) + scene.frames(self.after)

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`; even trials are bright, odd ones dark."""
        lit = self._lit(scene)[trials // 2] * np.where(trials % 2, -1, 1)[:, None]
        on = (frames >= 0) & (frames < scene.frames(self.flash))
        return np.asarray(self.level * lit[:, :, None, None, None] * on[:, None, None])

    def measure(self, scene: Scene, played: Played) -> Answer:
        """`on_off` of all channels and of each; `colour` of two channels.

        `colour` is `(first - second) / (first + second)` of the larger of the responses to bright and dark, as the
        spectral contrast of Szatko et al. 2020 (doi:10.1038/s41467-020-17113-8); 1 is the first channel alone.
        """
        during = scene.window(0, self.flash)
        on, off = (above(played.change[start::2, during]) for start in (0, 1))  # (colour, neuron)
        columns = {"on_off": polarity_index(on[0], off[0], played.least)}
        for number, name in enumerate(scene.facts.channels if len(on) > 1 else (), 1):
            columns[f"on_off_{name}"] = polarity_index(on[number], off[number], played.least)
        if len(scene.facts.channels) == 2:
            first, second = np.maximum(on, off)[1:]
            columns["colour"] = ratio(first - second, first + second, played.least)
        time = scene.response_times(played.response.shape[1])
        return Answer(columns, {"trace": traces(played)}, {"time_s": time})

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Bright flashes left, dark ones right."""
        panels = figure.subplots(1, 2, sharey=True)
        looks = [LINE, *(look.line for look in channel_looks(scene.facts.channels))]
        names = ["all", *scene.facts.channels] if len(scene.facts.channels) > 1 else list(scene.facts.channels)
        for polarity, (ax, title) in enumerate(zip(panels, ("Bright flashes", "Dark flashes"), strict=True)):
            ax.axvspan(0, self.flash, color="#f2f2f2" if polarity == 0 else "#d8d8d8", linewidth=0)
            for number, name in enumerate(names):
                trace = answer.arrays["trace"][row, 2 * number + polarity]
                ax.plot(answer.axes["time_s"], trace, color=looks[number], linewidth=1.2, label=name)
            ax.set_title(title, loc="left")
            ax.set_xlabel("time (s)")
        panels[0].set_ylabel("response")
        panels[1].legend(frameon=False)
