"""Spots and annuli of growing size, around the receptive field of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from openretina_cli.checks import positive, require, spelt
from openretina_cli.errors import SettingError
from openretina_cli.probe.base import LIGHT_LINE, LINE, Answer, Indices, Played, Probe, Scene, Values, ratio, titled

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


class CentreSpots(Probe):
    """Flashed spots, and annuli from the same diameters outwards, brighter and darker than the background.

    Args:
        diameters_um: of spots, and inner ones of annuli, which fill the field outside.
        flash_s: seconds of a flash.
        contrast: relative to the amplitude.

    Raises:
        SettingError: a value is out of range.
    """

    headline: ClassVar[Mapping[str, str]] = {"best_um": "spot (um)", "suppression": "surround"}
    centred = True
    width = 5

    def __init__(self, diameters_um: list[float], flash_s: float, contrast: float) -> None:
        fits = 2 <= len(diameters_um) <= 100 and diameters_um == sorted({*diameters_um}) and diameters_um[0] > 0
        require(fits, "diameters_um", diameters_um, "2 to 100 growing numbers, such as [100,200,400,800]")
        positive("flash_s", flash_s)
        positive("contrast", contrast)
        self.diameters, self.flash, self.level = np.array(diameters_um), flash_s, contrast

    def check(self, scene: Scene) -> None:
        """See `Probe.check`."""
        if self.diameters[0] < scene.pixel:
            raise SettingError(
                f"diameters_um={spelt(self.diameters.tolist())}",
                expected=f"diameters of {scene.pixel:g} um or more, a pixel of {scene.facts.name}",
            )

    def trials(self, scene: Scene) -> int:
        """Spots and annuli, each bright and dark."""
        del scene
        return 4 * len(self.diameters)

    def frames(self, scene: Scene) -> int:
        """A flash."""
        return scene.frames(self.flash)

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`; even trials are bright, odd ones dark, and annuli follow the spots."""
        shape, number = np.divmod(trials // 2, len(self.diameters))
        radius = self.diameters[number][:, None, None, None, None] / 2
        spot = scene.soft(radius - np.hypot(scene.x, scene.y))
        disc = np.where(shape[:, None, None, None, None] == 0, spot, 1 - spot)
        sign = np.where(trials % 2, -1, 1)[:, None, None, None, None]
        return np.asarray(self.level * sign * disc * (frames >= 0)[:, None, None])

    def measure(self, scene: Scene, played: Played) -> Answer:
        """Size tuning of the polarity that drives a cell more.

        `best_um` is the diameter of the largest mean response; `suppression` the share of it that the largest spot
        lacks, `(best - largest) / best` (Cavanaugh et al. 2002, doi:10.1152/jn.00692.2001); `annulus_share` the largest
        response to an annulus of at least the best diameter, as a share of the best; `bright` 1 for bright spots and 0
        for dark ones. All are null for a cell that no spot drives.
        """
        means = played.change.mean(1).reshape(2, len(self.diameters), 2, -1)  # (shape, size, polarity, neuron)
        polarity = means[0].max(0).argmax(0)
        neurons = np.arange(means.shape[-1])
        spots, annuli = means[:, :, polarity, neurons]
        best, which = spots.max(0), spots.argmax(0)
        beyond = np.where(np.arange(len(self.diameters))[:, None] >= which, annuli, -np.inf).max(0)
        driven = best > played.least
        columns = {
            "best_um": np.where(driven, self.diameters[which], np.nan),
            "suppression": ratio(best - spots[-1], best, played.least),
            "annulus_share": ratio(beyond, best, played.least),
            "bright": np.where(driven, 1 - polarity, np.nan),
        }
        return Answer(columns, {"spot": spots.T, "annulus": annuli.T}, {"diameter_um": self.diameters})

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Response against diameter."""
        ax = figure.subplots()
        for name, color in (("spot", LINE), ("annulus", LIGHT_LINE)):
            ax.plot(answer.axes["diameter_um"], answer.arrays[name][row], "o-", color=color, markersize=3, label=name)
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        bright = answer.columns["bright"][row]
        kind = "" if np.isnan(bright) else ", bright" if bright else ", dark"
        suppression = float(answer.columns["suppression"][row])
        ax.set_title(titled(f"Spots{kind}", "suppression", suppression), loc="left")
        ax.set_xlabel("diameter (µm)")
        ax.set_ylabel("change of response")
        ax.legend(frameon=False)
