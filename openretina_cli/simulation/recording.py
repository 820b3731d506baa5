"""Movies played to the simulated retina, with the noiseless rates that answer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
