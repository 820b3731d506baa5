"""The simulated retina as a model like any other."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina, the_session
from openretina_cli.simulation.bipolar import CHANNELS as BIPOLAR_CHANNELS
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.ganglion import Cell
from openretina_cli.simulation.movies import CHANNELS, FRAME_RATE, HEIGHT, PIXEL_SIZE, WIDTH, stimulus_range
from openretina_cli.simulation.retina import LAG, SESSIONS, SimulatedRetina, SimulatedSession

FAINTEST = 1e-12
"""Weights of the blur below this are taken for zero, which no float32 sum notices: some are near 1e-44, and numbers
that small cost a processor a hundred times as long as others."""


class Truth(Retina):
    """The simulated retina behind the interface of a model: every problem for a twin can be put to it.

    Args:
        simulation: the simulated retina; the one that the bundled twin was trained on by default.
    """

    def __init__(self, simulation: SimulatedRetina | None = None) -> None:
        super().__init__()
        self.simulation = simulation or SimulatedRetina()
        groups = {session: tuple(self.simulation.session(session).groups) for session in SESSIONS}
        self.facts = ModelFacts(
            name="simulated retina (the truth)",
            sessions={session: len(members) for session, members in groups.items()},
            channels=CHANNELS,
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

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """True rates `(batch, time - 30, neuron)` to stimuli `(batch, channel, time, height, width)`."""
        rates: Tensor = self.simulation(stimulus, the_session(self.facts.sessions, data_key))
        return rates

    def shared(self, session: str, neurons: Sequence[int]) -> tuple[int, ...]:
        """Cells of the same types pool the same bipolar channels, and share a fast form."""
        return tuple(sorted({cell.type.group for cell in self.cells(session, neurons)}))

    def fast_form(
        self, session: str, neurons: Sequence[int] | None, frames: int, window: tuple[int, int] | None
    ) -> nn.Module:
        """See `Retina.fast_form`; nothing is approximated, what cannot reach the neurons and window is left out."""
        start, stop = window or (0, frames - LAG)
        chosen = range(self.facts.sessions[session]) if neurons is None else neurons
        return TruthPart(_part(self.simulation.session(session), chosen), slice(start, stop + LAG))

    def cells(self, session: str, neurons: Sequence[int]) -> list[Cell]:
        """Type, place and size of some neurons."""
        cells = self.simulation.session(session).cells
        return [cells[neuron] for neuron in neurons]


def check_twin(facts: ModelFacts, truth: Truth) -> None:
    """Refuse a model that is no twin of the simulated retina.

    Raises:
        SettingError: its sessions or its cells' types are not those of the simulation.
    """
    same = dict(facts.sessions) == dict(truth.facts.sessions) and dict(facts.groups) == dict(truth.facts.groups)
    if not same:
        raise SettingError(
            f"{facts.name} is no twin of the simulated retina, so there is no truth to compare it with",
            repair="openretina validate --held-out, which works for every ensemble",
        )


def _by_channel(weights: Tensor) -> Tensor:
    """Pooling weights `(neuron, channel * height * width)` as `(neuron, channel, place)`."""
    return weights.reshape(len(weights), len(BIPOLAR_CHANNELS), -1)


def _part(session: SimulatedSession, neurons: Sequence[int]) -> SimulatedSession:
    """The same recording with some of its cells, and with only the bipolar channels that these pool."""
    part, chosen = copy.deepcopy(session), torch.tensor(list(neurons))
    pooled = (session.ganglion.excitation + session.ganglion.inhibition)[chosen]
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


class TruthPart(nn.Module):
    """True responses of some cells in one window.

    Args:
        part: the recording with those cells only.
        seen: stimulus frames that reach the window.
    """

    def __init__(self, part: SimulatedSession, seen: slice) -> None:
        super().__init__()
        self.part = part
        self.seen = seen

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to responses `(batch, window, neuron)`."""
        rates: Tensor = self.part(stimulus[:, :, self.seen])
        return rates
