"""The simulated retina: two recordings whose true responses are known for every stimulus."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.simulation import bipolar, ganglion
from openretina_cli.simulation.bipolar import CHANNELS, DORSAL, VENTRAL, BipolarLayer, Opsins
from openretina_cli.simulation.ganglion import GanglionLayer, draw_cells
from openretina_cli.simulation.movies import movies

LAG = bipolar.KERNEL_FRAMES + ganglion.KERNEL_FRAMES - 2
"""Stimulus frames before the first response, the same as in the published architecture: 30."""

SESSIONS: dict[str, tuple[Opsins, int]] = {"simulated_dorsal": (DORSAL, 10), "simulated_ventral": (VENTRAL, 7)}
"""The sessions: where on the retina, and how many cells of each type."""

RETINA_SEED = 2016
CALIBRATION_SEED = 1
CALIBRATION_CLIPS = 32


class SimulatedSession(nn.Module):
    """One recording: bipolar channels and the ganglion cells that pool them.

    Args:
        opsins: the place's colour weights.
        cells_per_type: how many cells of each type.
        rng: draws the cells.
    """

    def __init__(self, opsins: Opsins, cells_per_type: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.cells = draw_cells(rng, cells_per_type)
        self.bipolar = BipolarLayer(opsins, list(CHANNELS.values()))
        self.ganglion = GanglionLayer(self.cells)

    @property
    def groups(self) -> list[int]:
        """The functional group of every cell."""
        return [cell.type.group for cell in self.cells]

    @torch.no_grad()
    def calibrate(self, stimuli: Tensor) -> None:
        """Scale both stages by their responses to movies."""
        self.bipolar.calibrate(stimuli)
        self.ganglion.calibrate(self.bipolar(stimuli))

    def forward(self, stimulus: Tensor) -> Tensor:
        """True rates `(batch, time - 30, neuron)` to `(batch, channel, time, height, width)`."""
        rates: Tensor = self.ganglion(self.bipolar(stimulus))
        return rates


class SimulatedRetina(nn.Module):
    """A small mechanistic retina with known truth; it is a simulation, and no recording entered it.

    It is the same for a seed, differentiable in its stimulus, and has no trainable parameter.

    Args:
        seed: of the cells' places, sizes and thresholds.
    """

    def __init__(self, seed: int = RETINA_SEED) -> None:
        super().__init__()
        stimuli = movies(CALIBRATION_CLIPS, CALIBRATION_SEED)
        self.sessions = nn.ModuleDict()
        for index, (name, (opsins, per_type)) in enumerate(SESSIONS.items()):
            session = SimulatedSession(opsins, per_type, np.random.default_rng((seed, index)))
            session.calibrate(stimuli)
            self.sessions[name] = session

    def session(self, data_key: str) -> SimulatedSession:
        """One of the sessions.

        Raises:
            ModelError: there is no such session.
        """
        if data_key not in self.sessions:
            raise ModelError(f"the simulation has no session {data_key!r}", expected="one of " + ", ".join(SESSIONS))
        return cast(SimulatedSession, self.sessions[data_key])  # ModuleDict cannot say what it holds

    def forward(self, stimulus: Tensor, data_key: str) -> Tensor:
        """True rates `(batch, time - 30, neuron)` of one session to `(batch, channel, time, height, width)`."""
        rates: Tensor = self.session(data_key)(stimulus)
        return rates
