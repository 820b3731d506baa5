"""Bars that move through the field in several directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from openretina_cli.checks import positive, require
from openretina_cli.probe.base import Answer, Indices, Played, Scene, Values, traces
from openretina_cli.probe.motion import Motion, draw_polar

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


class MovingBars(Motion):
    """A bar for each direction, which enters on one side of the field and leaves on the other.

    Args:
        directions: see `Motion`, as `repeats`, `quality` and `permutations`.
        width_um: edge along the direction of motion.
        length_um: edge across it.
        speed_um_s: speed.
        after_s: seconds of background after a bar has left.
        contrast: of the bar, relative to the amplitude; negative for a dark one.

    Raises:
        SettingError: a value is out of range.
    """

    width = 3

    def __init__(
        self,
        directions: int,
        width_um: float,
        length_um: float,
        speed_um_s: float,
        after_s: float,
        contrast: float,
        repeats: int,
        quality: float,
        permutations: int,
    ) -> None:
        super().__init__(directions, repeats, quality, permutations)
        for name in ("width_um", "length_um", "speed_um_s"):
            positive(name, vars()[name])
        require(contrast != 0, "contrast", contrast, "a contrast other than 0")
        require(0 <= after_s <= 60, "after_s", after_s, "0 to 60 seconds")
        self.bar_um, self.speed = (width_um, length_um), speed_um_s
        self.after, self.level = after_s, contrast

    def check(self, scene: Scene) -> None:
        """See `Probe.check`."""
        across = scene.rate * self.path(scene) / self.speed
        require(across >= 2, "speed_um_s", self.speed, "a bar that is in the field for two frames or more")

    def path(self, scene: Scene) -> float:
        """Length of a bar's path in um."""
        return scene.diagonal + self.bar_um[0]

    def trials(self, scene: Scene) -> int:
        """One per direction."""
        del scene
        return self.directions

    def frames(self, scene: Scene) -> int:
        """A bar's way through the field, and what follows."""
        return scene.frames(self.path(scene) / self.speed + self.after)

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`; edges are soft by a pixel, so that bars move smoothly."""
        angle = self.angles[trials][:, None, None, None, None]
        along = scene.x * np.cos(angle) + scene.y * np.sin(angle)
        across = scene.y * np.cos(angle) - scene.x * np.sin(angle)
        time = scene.seconds(frames)[:, None, None]
        middle = self.speed * time - self.path(scene) / 2
        bar = scene.soft(self.bar_um[0] / 2 - np.abs(along - middle)) * scene.soft(self.bar_um[1] / 2 - np.abs(across))
        return np.asarray(self.level * bar * (time >= 0))

    def measure(self, scene: Scene, played: Played) -> Answer:
        """Direction and orientation selectivity, see `Motion`."""
        answer = self.tuned(scene, played.change, np.abs(played.response).max((0, 1)))
        time = scene.response_times(played.response.shape[1])
        return Answer(answer.columns, {**answer.arrays, "trace": traces(played)}, {**answer.axes, "time_s": time})

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Polar plot."""
        figure.suptitle("Moving bars", x=0.02, ha="left", fontsize=10)
        draw_polar(figure.subplots(subplot_kw={"projection": "polar"}), answer, row)
