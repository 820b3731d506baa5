"""What probes of moving stimuli have in common: tuning to direction, its test, and a polar figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from openretina_cli.analysis.direction import (
    DIRECTION,
    ORIENTATION,
    noise_of_quality,
    permutation_p,
    strengths,
    vector_sum,
)
from openretina_cli.checks import require
from openretina_cli.probe.base import LINE, Answer, Probe, Scene, Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SILENT = 1e-5
"""Share of a neuron's largest response below which a change is rounding of float32."""
MOST_PERMUTATIONS = 100_000


class Motion(Probe):
    """Base of probes that move in directions.

    Args:
        directions: how many, evenly around the circle; 0 degrees moves right, 90 up.
        repeats: trials of each direction in the simulated recording of the test.
        quality: quality index of that recording, see `analysis.direction.noise_of_quality`.
        permutations: shuffles of the test.

    Raises:
        SettingError: a value is out of range.
    """

    headline: ClassVar[Mapping[str, str]] = {"dsi": "DSI", "dsi_p": "p (DSI)", "osi": "OSI", "osi_p": "p (OSI)"}

    def __init__(self, directions: int, repeats: int, quality: float, permutations: int) -> None:
        # three directions cannot tell an orientation from the direction opposite
        require(5 <= directions <= 360, "directions", directions, "5 to 360")
        require(2 <= repeats <= 1000, "repeats", repeats, "2 to 1000")
        above_noise = f"a quality index above 1 / repeats, here {1 / repeats:.2g}, and up to 1"
        require(1 / repeats < quality <= 1, "quality", quality, above_noise)
        require(1 <= permutations <= MOST_PERMUTATIONS, "permutations", permutations, f"1 to {MOST_PERMUTATIONS}")
        self.directions, self.repeats, self.quality, self.permutations = directions, repeats, quality, permutations

    @property
    def angles(self) -> Values:
        """`(direction,)` in radians."""
        return 2 * math.pi * np.arange(self.directions) / self.directions

    def tuned(self, scene: Scene, change: Values, peak: Values) -> Answer:
        """Indices of changes `(direction, time, neuron)`; `peak` `(neuron,)` is the largest response."""
        strength = strengths(change)
        strength = np.where(np.abs(change).max((0, 1)) > SILENT * peak, strength, 0)
        noise = noise_of_quality(change, self.quality, self.repeats)
        columns: dict[str, Values] = {}
        for name, harmonic in (("dsi", DIRECTION), ("osi", ORIENTATION)):
            rng = np.random.default_rng((scene.seed, harmonic))
            index, angle = vector_sum(strength, self.angles, harmonic)
            p = permutation_p(strength, self.angles, harmonic, noise, self.repeats, self.permutations, rng)
            columns |= {name: index, f"{name}_p": p}
            # a bar or grating lies across the direction in which it moves
            columns |= {"direction_deg": angle} if harmonic == DIRECTION else {"orientation_deg": (angle + 90) % 180}
        return Answer(columns, {"tuning": strength.T}, {"angle_deg": np.degrees(self.angles)})


def draw_polar(ax: Axes, answer: Answer, row: int) -> None:
    """The tuning curve of one neuron, its vector sum and its preferred orientation."""
    tuning = answer.arrays["tuning"][row].astype(np.float64)
    angles = np.radians(answer.axes["angle_deg"].astype(np.float64))
    largest = float(tuning.max()) or 1.0
    ax.plot(np.append(angles, angles[0]), np.append(tuning, tuning[0]) / largest, "o-", color=LINE, markersize=3)
    dsi, osi, direction, orientation = (
        float(answer.columns[name][row]) for name in ("dsi", "osi", "direction_deg", "orientation_deg")
    )
    if np.isfinite(dsi):
        ax.plot([math.radians(direction)] * 2, [0, dsi], color="#c43c39", linewidth=2.5)
        ends = [math.radians(orientation), math.radians(orientation + 180)]
        ax.plot(ends, [osi, osi], color="#2f6db5", linewidth=2.5)
    ax.set_ylim(0, 1.05)
    ax.set_yticks([0.5, 1.0], ["", ""])
    ax.set_xticks(np.radians([0, 90, 180, 270]))
    texts = [
        f"{name.upper()} {answer.columns[name][row]:.2f}, p {answer.columns[f'{name}_p'][row]:.2g}"
        for name in ("dsi", "osi")
    ]
    ax.set_xlabel("\n".join(texts))
