"""Movies played to the simulated retina, the noiseless rates that answer them, and how well a model predicts these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openretina_cli.simulation.movies import CLIP_FRAMES, movies
from openretina_cli.simulation.retina import SESSIONS, SimulatedRetina

TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 100, 200, 300
"""Seeds of the movies that twins learn from, that are watched in training, and that the published figures come from."""

Respond = Callable[[Tensor, str], Tensor]
"""`respond(stimulus, session)`: `(batch, channel, time, height, width)` to `(batch, time, neuron)`."""


@dataclass(frozen=True)
class Recording:
    """Movies and the responses to them.

    Attributes:
        stimuli: `(clip, channel, time, height, width)`, z-scored.
        responses: `(clip, time - 30, neuron)` by session.
    """

    stimuli: Tensor
    responses: Mapping[str, Tensor]


@torch.no_grad()
def responses(respond: Respond, stimuli: Tensor, session: str, batch: int = 8) -> Tensor:
    """Responses `(clip, time, neuron)` to many clips, a few at a time."""
    return torch.cat([respond(part, session) for part in torch.split(stimuli, batch)])


def record(retina: SimulatedRetina, clips: int, seed: int, artificial: float = 0.0) -> Recording:
    """Play movies to the simulated retina; the arguments are those of `movies`."""
    stimuli = movies(clips, seed, CLIP_FRAMES, artificial)
    return Recording(stimuli, {session: responses(retina, stimuli, session) for session in SESSIONS})


def correlations(predicted: Tensor, truth: Tensor) -> Tensor:
    """Pearson correlation `(neuron,)` over all clips and frames of `(clip, time, neuron)`."""
    # float64: the sums run over some 10^4 frames
    x, y = (part.flatten(0, 1).double() for part in (predicted, truth))
    x, y = x - x.mean(0), y - y.mean(0)
    norms = (x.square().sum(0) * y.square().sum(0)).sqrt()
    return ((x * y).sum(0) / norms.clamp(min=1e-12)).float()


def held_out_correlations(respond: Respond, recording: Recording) -> dict[str, Tensor]:
    """Correlations `(neuron,)` of a model with the noiseless truth, by session."""
    return {
        session: correlations(responses(respond, recording.stimuli, session), truth)
        for session, truth in recording.responses.items()
    }


def by_type(values: Tensor, groups: Sequence[int]) -> dict[int, Tensor]:
    """Split per-neuron values `(neuron,)` by functional group, in the order of the groups."""
    table = torch.tensor(list(groups))
    return {group: values[table == group] for group in sorted(set(groups))}
