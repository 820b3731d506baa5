"""Runs a model once, forward and backward, before anything is built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from openretina_cli.errors import ModelError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.models.seeding import seeded

PROBE_SEED = 0
"""Any seed does; a fixed one makes a refusal repeatable."""
MOST_NAMED = 10
"""Neurons that an error names at most."""


@dataclass(frozen=True)
class Probe:
    """What a trial of a model showed.

    Attributes:
        response_frames: frames of its response.
        activation_bytes: memory that one stimulus holds between the passes forward and backward.
        unfit: neurons whose response to a random stimulus is not finite.
    """

    response_frames: int
    activation_bytes: int
    unfit: frozenset[int] = frozenset()

    def check(self, session: str, neurons: tuple[int, ...]) -> None:
        """Refuse neurons that are not finite.

        Raises:
            ModelError: one of the neurons is not.
        """
        broken = sorted(self.unfit.intersection(neurons))
        if broken:
            more = f" and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
            named = ", ".join(map(str, broken[:MOST_NAMED])) + more
            raise ModelError(
                f"neuron{'s' if len(broken) > 1 else ''} {named} of session {session} answer"
                f"{'' if len(broken) > 1 else 's'} a random stimulus with NaN or infinity",
                expected="finite responses of all neurons of the run",
            )


def probe_stimulus(facts: ModelFacts, frames: int, device: torch.device) -> Tensor:
    """One standard normal stimulus `(1, channel, frames, height, width)`, the same on every device."""
    generator = torch.Generator().manual_seed(PROBE_SEED)
    shape = (1, len(facts.channels), frames, facts.height, facts.width)
    return torch.randn(shape, generator=generator).to(device).requires_grad_(True)


def _finite_neurons(response: Tensor) -> Tensor:
    """The neurons of a response `(batch, time, neuron)` that are finite throughout."""
    return response.detach().isfinite().all(dim=0).all(dim=0).nonzero().flatten()


class _Trial(NamedTuple):
    """What one pass forward and backward showed.

    Attributes:
        response: `(1, time, neuron)`.
        finite: neurons that are finite throughout.
        held_bytes: memory held between the passes.
        sound: whether a finite gradient of those neurons reaches the stimulus.
    """

    response: Tensor
    finite: Tensor
    held_bytes: int
    sound: bool


def _check_shape(retina: Retina, session: str, frames: int, shape: tuple[int, ...]) -> None:
    expected = (1, retina.facts.response_frames(frames), retina.facts.sessions[session])
    if shape != expected:
        raise ModelError(f"the model answers with shape {shape}", expected=f"{expected}, that is (batch, time, neuron)")


def _tried(retina: Retina, session: str, frames: int, device: torch.device) -> _Trial:
    """Try a model on one session; with `backward`, as a checkpointed module refuses `torch.autograd.grad`."""
    held = []  # weights are held too, but are small beside activations

    def pack(tensor: Tensor) -> Tensor:
        held.append(tensor.numel() * tensor.element_size())
        return tensor

    try:
        stimulus = probe_stimulus(retina.facts, frames, device)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            response = retina(stimulus, data_key=session)
        _check_shape(retina, session, frames, tuple(response.shape))
        finite = _finite_neurons(response)
        if len(finite) and response.requires_grad:
            response.index_select(2, finite).sum().backward()
    except ModelError:
        raise
    except Exception as error:  # whatever a user's module raises, or too little memory
        problem = f"the model failed on a stimulus of {frames} frames: {type(error).__name__}: {error}"
        raise ModelError(problem) from error
    gradient = stimulus.grad
    return _Trial(response.detach(), finite, sum(held), gradient is not None and bool(gradient.isfinite().all()))


@torch.no_grad()
def _unfit(retina: Retina, frames: int, device: torch.device) -> dict[str, frozenset[int]]:
    """The neurons of every session that are not finite."""
    stimulus = probe_stimulus(retina.facts, frames, device)
    unfit = {}
    for session, neurons in retina.facts.sessions.items():
        finite = _finite_neurons(retina(stimulus, data_key=session)).tolist()
        unfit[session] = frozenset(range(neurons)).difference(finite)
    return unfit


@torch.no_grad()
def _zero_broken_weights(retina: Retina) -> None:
    """Set weights that are not finite to zero; a gradient of zero times such a weight is NaN for all neurons."""
    for weights in [*retina.parameters(), *retina.buffers()]:
        if weights.is_floating_point():
            weights.nan_to_num_(0, 0, 0)


def probe(retina: Retina, session: str, frames: int, device: torch.device) -> Probe:
    """Run a model forward and backward on a random stimulus.

    Neurons that are not finite are noted. Where their weights spoil the gradients of all others, the weights are set to
    zero, and the neurons are kept in `retina.unfit`.

    Args:
        retina: the model, on `device`.
        session: the session.
        frames: stimulus frames.
        device: where the model is.

    Returns:
        What the trial showed.

    Raises:
        ModelError: the model raises, is no function of each stimulus alone, answers with another shape, has no finite
            neuron, or lets no gradient through.
    """
    if retina.facts.response_frames(frames) < 1:
        raise ModelError(
            f"a stimulus of {frames} frames is too short for this model, which drops the first {retina.facts.lag}",
            repair=f"stimulus.frames={retina.facts.lag + 20}",
        )
    with seeded(device):
        retina.examine(session)
        trial = _tried(retina, session, frames, device)
        finite, sound = trial.finite, trial.sound
        if not len(finite):
            raise ModelError("the model answers a random stimulus with NaN or infinity", expected="finite responses")
        unfit = frozenset(range(trial.response.shape[2])).difference(finite.tolist())
        if unfit and not sound:
            retina.unfit = _unfit(retina, frames, device)
            _zero_broken_weights(retina)
            mended = _tried(retina, session, frames, device)
            same = torch.equal(mended.response.index_select(2, finite), trial.response.index_select(2, finite))
            sound = mended.sound and same
    if not sound:
        raise ModelError("no finite gradient reaches the stimulus through the model", expected="a differentiable one")
    return Probe(trial.response.shape[1], trial.held_bytes, unfit.union(retina.unfit.get(session, ())))
