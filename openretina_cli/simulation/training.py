"""Training twins on the simulated retina: Poisson loss, Adam, a warm-up and a cosine; it can be interrupted."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openretina_cli.models.architecture import Architecture, read_architecture
from openretina_cli.models.safe_files import MAX_STATE_DICT_BYTES
from openretina_cli.models.torch_file import read_torch_file
from openretina_cli.models.twin import Twin
from openretina_cli.simulation.movies import CHANNELS, HEIGHT, WIDTH
from openretina_cli.simulation.recording import Recording, held_out_correlations
from openretina_cli.store.aside import write_whole

MODEL_CONFIG: dict[str, Any] = {
    "batch_adaptation": False,
    "conv_type": "custom_separable",
    "core_bias": True,
    "gaussian_masks": True,
    "gaussian_mean_scale": 6.0,
    "gaussian_var_scale": 4.0,
    "hidden_channels": (16, 16),
    "hidden_padding": True,
    "input_padding": False,
    "layers": 2,
    "nonlinearity": "ELU",
    "readout_positive": True,
    "readout_scale": True,
    "spatial_kernel_size": (11, 5),
    "stack": -1,
    "temporal_kernel_size": (21, 11),
}
"""The shape of the published ensemble's members (Höfling et al. 2024, eLife 13:e86860)."""

Report = Callable[[int, int, int, float, float], None]
"""`report(seed, epoch, epochs, loss, correlation)`, called after every epoch."""


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    There is no early stopping on the mean correlation: cells that are suppressed by contrast are learnt last, and the
    mean hardly shows them. The learning rate ends at zero instead, so that the last epoch is the one to keep.
    """

    epochs: int = 20
    clips: int = 480
    artificial: float = 0.25
    batch: int = 4
    learning_rate: float = 0.01
    warm_up: int = 50
    gradient_clip: float = 1.0
    smoothness: float = 1e-2
    sparseness: float = 1e-3


def new_twin(seed: int, recording: Recording) -> Twin:
    """A twin with random weights, whose neurons start at their mean response."""
    architecture: Architecture = read_architecture(MODEL_CONFIG)
    neurons = {session: truth.shape[-1] for session, truth in recording.responses.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = Twin(architecture, (len(CHANNELS), HEIGHT, WIDTH), neurons)
    for session, truth in recording.responses.items():
        mean = truth.mean(dim=(0, 1))
        twin.readouts[session].bias.data = mean + torch.log(-torch.expm1(-mean))  # softplus of it is the mean
    return twin


def penalty(twin: Twin, schedule: Schedule, session: str) -> Tensor:
    """A light preference for smooth kernels in the first layer, and for few features per neuron."""
    kernels = twin.core.get_parameter("features.layer0.conv.weight_spatial").squeeze(2)
    curvature = kernels.diff(n=2, dim=-1).square().sum() + kernels.diff(n=2, dim=-2).square().sum()
    # relative to the kernels' energy, since batch norm makes their scale arbitrary
    rough = curvature / kernels.square().sum()
    features = twin.readouts[session].features
    return schedule.smoothness * rough + schedule.sparseness * features.abs().sum() / features.shape[-1]


def batches(recording: Recording, schedule: Schedule, seed: int, epoch: int) -> Iterator[tuple[str, Tensor]]:
    """Session and clips of each step: every clip once for every session, in an order that follows from the seed."""
    rng = np.random.default_rng((seed, epoch))
    plan = [
        (session, torch.from_numpy(part))
        for session in recording.responses
        for part in np.array_split(rng.permutation(schedule.clips), schedule.clips // schedule.batch)
    ]
    for index in rng.permutation(len(plan)):
        yield plan[index]


def learning_rate(step: int, steps: int, schedule: Schedule) -> float:
    """A linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / schedule.warm_up)
    return schedule.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_epoch(
    twin: Twin, optimizer: torch.optim.Optimizer, recording: Recording, schedule: Schedule, seed: int, epoch: int
) -> float:
    """One pass over all clips of all sessions; returns the mean Poisson loss."""
    twin.train()
    plan = list(batches(recording, schedule, seed, epoch))
    losses = []
    for index, (session, clips) in enumerate(plan):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(epoch * len(plan) + index, schedule.epochs * len(plan), schedule)
        predicted = twin(recording.stimuli[clips], session)
        loss = F.poisson_nll_loss(predicted, recording.responses[session][clips], log_input=False)
        optimizer.zero_grad()
        torch.autograd.backward(loss + penalty(twin, schedule, session))
        nn.utils.clip_grad_norm_(twin.parameters(), schedule.gradient_clip)
        optimizer.step()
        twin.readouts[session].project()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def settle_batch_norm(twin: Twin, recording: Recording, schedule: Schedule) -> None:
    """Replace the running averages of batch norm, which trail the weights, by averages for the final weights."""
    norms = [module for module in twin.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    twin.train()
    for session in recording.responses:
        for part in torch.split(recording.stimuli, schedule.batch):
            twin.core(part, session)
    for norm in norms:
        norm.momentum = 0.1
    twin.eval()


def score(twin: Twin, held_out: Recording) -> float:
    """Mean correlation of all neurons with the truth on held-out movies."""
    twin.eval()
    return float(torch.cat([*held_out_correlations(twin, held_out).values()]).mean())


def mean_responses(recording: Recording) -> Tensor:
    """Mean response of every neuron of all sessions `(neuron,)`."""
    return torch.cat([truth.mean(dim=(0, 1)) for truth in recording.responses.values()])


def read_state(path: Path, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of an interrupted or finished training, unless it was of another schedule or retina."""
    if not path.exists():
        return None
    state: dict[str, Any] = read_torch_file(path, MAX_STATE_DICT_BYTES)
    means, expected = state["means"], task["means"]
    # the same recording may be rounded otherwise on another machine
    same = means.shape == expected.shape and torch.allclose(means, expected, rtol=1e-3)
    return state if same and state["schedule"] == task["schedule"] else None


def torch_bytes(state: Mapping[str, Any]) -> bytes:
    """What `torch.save` writes; through memory, as the bytes would otherwise depend on the file's name."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def train_member(
    seed: int, recording: Recording, held_out: Recording, schedule: Schedule, folder: Path, report: Report
) -> Twin:
    """Train one twin, or go on where an interrupted training stopped, or load a finished one.

    Args:
        seed: of the weights and the order of clips.
        recording: what to learn.
        held_out: movies and responses for the reported correlation.
        schedule: how long and how hard.
        folder: where `training_{seed}.pt` is kept, rewritten after each epoch.
        report: called after every epoch.

    Returns:
        The trained twin, in eval mode.
    """
    path = folder / f"training_{seed:05d}.pt"
    twin = new_twin(seed, recording)
    optimizer = torch.optim.Adam(twin.parameters(), lr=schedule.learning_rate)
    task = {"schedule": repr(schedule), "means": mean_responses(recording)}
    done = 0
    if (state := read_state(path, task)) is not None:
        twin.load_state_dict(state["twin"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["epoch"]
    for epoch in range(done, schedule.epochs):
        loss = train_epoch(twin, optimizer, recording, schedule, seed, epoch)
        if epoch + 1 == schedule.epochs:
            settle_batch_norm(twin, recording, schedule)
        now = {"epoch": epoch + 1, "twin": twin.state_dict(), "optimizer": optimizer.state_dict()}
        write_whole(path.parent, {path.name: torch_bytes({**task, **now})})
        report(seed, epoch + 1, schedule.epochs, loss, score(twin, held_out))
    return twin.eval()
