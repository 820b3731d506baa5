"""The simulated retina as a model like any other, and problems moved onto it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from openretina_cli.errors import SettingError
from openretina_cli.loop.loop import Problem
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.fast import Window
from openretina_cli.models.twin import Retina, the_session
from openretina_cli.run.acceleration import WindowedModel
from openretina_cli.run.problem import Plan
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
    """True responses of some cells in one window. Nothing is approximated; what cannot reach them is left out.

    Args:
        truth: the simulated retina.
        session: the session.
        neurons: the neurons asked for.
        window: the response frames `[start, stop)` asked for.
    """

    def __init__(self, truth: Truth, session: str, neurons: Sequence[int], window: Window) -> None:
        super().__init__()
        self.part = _part(truth.simulation.session(session), neurons)
        self.seen = slice(window[0], window[1] + LAG)

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map stimuli `(batch, channel, time, height, width)` to responses `(batch, window, neuron)`."""
        rates: Tensor = self.part(stimulus[:, :, self.seen])
        return rates


def on_truth(plans: Sequence[Plan], truth: Truth) -> list[Problem]:
    """The plans' problems, asked of the truth instead of their model; cells of one type share a part of it."""
    groups: dict[tuple[str, int, Window, tuple[int, ...]], list[int]] = defaultdict(list)
    moved = [replace(plan.problem, objective=plan.problem.objective.on(truth)) for plan in plans]
    for index, plan in enumerate(plans):
        if plan.problem.objective.scores_responses and plan.window is not None:
            types = tuple(sorted({cell.type.group for cell in truth.cells(plan.session, plan.neurons)}))
            groups[plan.session, plan.problem.stimulus.shape[1], plan.window, types].append(index)
    for (session, frames, window, _), indices in groups.items():
        neurons = sorted({neuron for index in indices for neuron in plans[index].neurons})
        shape = (frames - LAG, truth.facts.sessions[session])
        part = TruthPart(truth, session, neurons, window)
        model = WindowedModel(part, neurons, window, shape)
        for index in indices:
            moved[index] = replace(moved[index], objective=moved[index].objective.on(model))
    return moved
