"""A foreign model is tried once, at the door, before anything is built on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openretina_cli.errors import ModelError
from openretina_cli.models.twin import Retina

PROBE_SEED = 0
"""Any seed does; a fixed one makes a refusal repeatable."""


@dataclass(frozen=True)
class Probe:
    """What trying a model told.

    Attributes:
        response_frames: frames of its response.
        activation_bytes: memory that one stimulus holds between the passes forward and backward.
    """

    response_frames: int
    activation_bytes: int


class _Scale:
    """Weighs the tensors that autograd holds on to; weights are met too, but are small beside activations."""

    def __init__(self) -> None:
        self.total = 0

    def pack(self, tensor: Tensor) -> Tensor:
        self.total += tensor.numel() * tensor.element_size()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor


def probe_stimulus(retina: Retina, frames: int, device: torch.device) -> Tensor:
    """One standard normal stimulus `(1, channel, frames, height, width)`, the same on every device."""
    facts = retina.facts
    generator = torch.Generator().manual_seed(PROBE_SEED)
    shape = (1, len(facts.channels), frames, facts.height, facts.width)
    return torch.randn(shape, generator=generator).to(device).requires_grad_(True)


def _gradient(response: Tensor, stimulus: Tensor) -> Tensor | None:
    if not response.requires_grad:
        return None
    gradient: Tensor | None = torch.autograd.grad(response.sum(), stimulus, allow_unused=True)[0]
    return gradient


def probe(retina: Retina, session: str, frames: int, device: torch.device) -> Probe:
    """Run a model forward and backward on a random stimulus.

    Args:
        retina: the model, on `device`.
        session: the session to ask for.
        frames: stimulus frames.
        device: where the model is.

    Returns:
        What it told.

    Raises:
        ModelError: the model raises, answers with another shape or a non-finite number, or lets no gradient through.
    """
    expected = (1, frames - retina.facts.lag, retina.facts.sessions[session])
    if expected[1] < 1:
        raise ModelError(
            f"a stimulus of {frames} frames is too short for this model, which drops the first {retina.facts.lag}",
            repair=f"stimulus.frames={retina.facts.lag + 20}",
        )
    scale = _Scale()
    try:
        stimulus = probe_stimulus(retina, frames, device)
        with torch.autograd.graph.saved_tensors_hooks(scale.pack, scale.unpack):
            response = retina(stimulus, data_key=session)
        shape = tuple(response.shape)
        gradient = _gradient(response, stimulus)
    except Exception as error:  # whatever a stranger's module raises, or too little memory
        raise ModelError(
            f"the model failed on a stimulus of {frames} frames: {type(error).__name__}: {error}"
        ) from error
    if shape != expected:
        raise ModelError(f"the model answers with shape {shape}", expected=f"{expected}, that is (batch, time, neuron)")
    if not bool(torch.isfinite(response).all()):
        raise ModelError("the model answers a random stimulus with NaN or infinity", expected="finite responses")
    if gradient is None or not bool(torch.isfinite(gradient).all()):
        raise ModelError("no finite gradient reaches the stimulus through the model", expected="a differentiable one")
    return Probe(expected[1], scale.total)
