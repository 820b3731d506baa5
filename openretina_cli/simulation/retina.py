"""The simulated retina: two recordings whose true responses are known for every stimulus."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.fast_form import FastForm, Window
from openretina_cli.models.retina import Retina, the_session
from openretina_cli.simulation import bipolar, ganglion
from openretina_cli.simulation.bipolar import CHANNELS, DORSAL, VENTRAL, BipolarLayer, Opsins
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.ganglion import Cell, GanglionLayer, draw_cells
from openretina_cli.simulation.movies import CHANNELS as COLOURS
from openretina_cli.simulation.movies import FRAME_RATE, HEIGHT, PIXEL_SIZE, WIDTH, movies, stimulus_range

LAG = bipolar.KERNEL_FRAMES + ganglion.KERNEL_FRAMES - 2
"""Stimulus frames before the first response, the same as in the published architecture: 30."""

SESSIONS: dict[str, tuple[Opsins, int]] = {"simulated_dorsal": (DORSAL, 10), "simulated_ventral": (VENTRAL, 7)}
"""The sessions: where on the retina, and how many cells of each type."""

RETINA_SEED = 2016
CALIBRATION_SEED = 1
CALIBRATION_CLIPS = 32


FAINTEST = 1e-12
"""Weights of the blur below this count as zero, which no float32 sum notices: some are near 1e-44, and denormal numbers
cost a processor a hundred times as long as others."""


def _by_channel(weights: Tensor) -> Tensor:
    """Pooling weights `(neuron, channel * height * width)` as `(neuron, channel, place)`."""
    return weights.reshape(len(weights), len(CHANNELS), -1)


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

    def part(self, neurons: Sequence[int]) -> SimulatedSession:
        """The same recording with some of its cells, and with only the bipolar channels that these pool."""
        part, chosen = copy.deepcopy(self), torch.tensor(list(neurons))
        pooled = (self.ganglion.excitation + self.ganglion.inhibition)[chosen]
        reaches = _by_channel(pooled).sum(dim=(0, 2)) > 0
        for name in ("filters", "thresholds", "gains"):
            setattr(part.bipolar, name, getattr(part.bipolar, name)[reaches])
        for name in ("rows", "columns"):
            blur = getattr(part.bipolar, name)
            setattr(part.bipolar, name, torch.where(blur > FAINTEST, blur, 0.0))
        for name, table in list(part.ganglion.named_buffers()):
            kept = table[chosen]
            if name in ("excitation", "inhibition"):
                kept = _by_channel(kept)[:, reaches].flatten(1)
            setattr(part.ganglion, name, kept)
        return part

    def forward(self, stimulus: Tensor) -> Tensor:
        """True rates `(batch, time - 30, neuron)` to `(batch, channel, time, height, width)`."""
        rates: Tensor = self.ganglion(self.bipolar(stimulus))
        return rates


class SimulatedRetina(Retina):
    """A small mechanistic retina with known truth, a model like any other: problems for its twins can be put to it.

    It is a simulation, and no recording entered it. It is the same for a seed, differentiable in its stimulus, and has
    no trainable parameter.

    Args:
        seed: of the cells' places, sizes and thresholds; the bundled twin was trained on the retina of the default.
    """

    def __init__(self, seed: int = RETINA_SEED) -> None:
        super().__init__()
        stimuli = movies(CALIBRATION_CLIPS, CALIBRATION_SEED)
        self.sessions = nn.ModuleDict()
        for index, (name, (opsins, per_type)) in enumerate(SESSIONS.items()):
            session = SimulatedSession(opsins, per_type, np.random.default_rng((seed, index)))
            session.calibrate(stimuli)
            self.sessions[name] = session
        groups = {session: tuple(self.session(session).groups) for session in SESSIONS}
        self.facts = ModelFacts(
            name="simulated retina (the truth)",
            sessions={session: len(members) for session, members in groups.items()},
            channels=COLOURS,
            height=HEIGHT,
            width=WIDTH,
            lag=LAG,
            frame_rate=FRAME_RATE,
            pixel_size=PIXEL_SIZE,
            stimulus_range=stimulus_range(),
            groups=groups,
            group_names=GROUP_NAMES,
            source="openretina_cli.simulation",
        )
        self.freeze()

    def session(self, data_key: str | None) -> SimulatedSession:
        """One of the sessions.

        Raises:
            ModelError: there is no such session.
        """
        return cast(SimulatedSession, self.sessions[the_session(SESSIONS, data_key)])  # ModuleDict holds any module

    def cells(self, session: str, neurons: Sequence[int]) -> list[Cell]:
        """Type, place and size of some neurons."""
        cells = self.session(session).cells
        return [cells[neuron] for neuron in neurons]

    def shared(self, session: str, neurons: Sequence[int]) -> tuple[int, ...]:
        """See `Retina.shared`; cells of the same types pool the same bipolar channels."""
        return tuple(sorted({cell.type.group for cell in self.cells(session, neurons)}))

    def fast_form(self, session: str, neurons: Sequence[int] | None, frames: int, window: Window | None) -> FastForm:
        """See `Retina.fast_form`; nothing is approximated, what cannot reach the neurons and window is left out."""
        start, stop = window or (0, self.facts.response_frames(frames))
        chosen = range(self.facts.sessions[session]) if neurons is None else neurons
        return FastForm(nn.Sequential(), self.session(session).part(chosen), frames, slice(start, stop + LAG))

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """True rates `(batch, time - 30, neuron)` of one session to `(batch, channel, time, height, width)`."""
        rates: Tensor = self.session(data_key)(stimulus)
        return rates
