"""Counts tensor operations per iteration, as torch's profiler sees them on a CPU.

Counted is every call of an operator of torch (`aten::`), those that operators make of each other too, forward and
backward. What a stack does once, at its start and end, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from openretina_cli import AbstractObjective, ChangeNorm, OptimizationStopper, Problem, optimize_stack
from openretina_cli.constraint.base import Constraint
from openretina_cli.constraint.display import DisplayRange
from openretina_cli.constraint.mask import Masked
from openretina_cli.constraint.norm_and_range import NormAndRange
from openretina_cli.constraint.norm_then_range import NormThenRange
from openretina_cli.constraint.pin import Pinned
from openretina_cli.constraint.range import ClipRange
from openretina_cli.constraint.rank import NearestOfRank
from openretina_cli.constraint.spatial_lowpass import SpatialGaussianLowPass
from openretina_cli.constraint.temporal_lowpass import TemporalGaussianLowPass
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.discriminative import MostDiscriminativeStimulus
from openretina_cli.objective.group_mei import GroupMostExcitingInput
from openretina_cli.objective.mdi import MostDepressingInput
from openretina_cli.objective.mei import MostExcitingInput
from openretina_cli.optimizer import GradientDescent, OptimizerInit
from openretina_cli.reducer import SliceMeanReducer
from openretina_cli.stopper import Step

SIZES = (1, 64, 256)
"""Runs in a stack."""
WARM, COUNTED = 2, 2
"""Iterations before those that are counted, in which constants are made, and those that are counted."""
SESSION, NEURONS, SHAPE, LAG = "s", 12, (2, 10, 5, 4), 3
FACTS = ModelFacts("small", {SESSION: NEURONS}, ("green", "uv"), *SHAPE[2:], LAG, 30.0, pixel_size=50.0)


class Small(torch.nn.Module):
    """A model with a constant number of operations: one linear filter per neuron, over all channels and frames."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = torch.randn(NEURONS, SHAPE[0], LAG + 1, *SHAPE[2:], generator=generator)

    def forward(self, stimulus: Tensor, data_key: str) -> Tensor:
        """Responses `(batch, time, neuron)`."""
        return torch.nn.functional.conv3d(stimulus, self.filters).flatten(2).transpose(1, 2)


MODEL = Small()
OFFERED: Mapping[str, Any] = {
    "model": MODEL,
    "data_key": SESSION,
    "facts": FACTS,
    "response_reducer": SliceMeanReducer(start=2, length=4),
}
RANGE = [(-0.6, 0.6), (-0.9, 0.9)]


def _neurons(run: int, count: int) -> list[int]:
    return [(run + place) % NEURONS for place in range(count)]


OBJECTIVES: Mapping[str, Callable[[int], AbstractObjective]] = {
    "mei": lambda run: MostExcitingInput(neuron=run % NEURONS, **OFFERED),
    "mdi": lambda run: MostDepressingInput(neuron=run % NEURONS, **OFFERED),
    "group": lambda run: GroupMostExcitingInput(neuron=_neurons(run, 2 + run % 3), **OFFERED),
    "discriminative": lambda run: MostDiscriminativeStimulus(
        on=_neurons(run, 2), off=[_neurons(run + 2, 1), _neurons(run + 3, 2)][: 1 + run % 2], **OFFERED
    ),
    "weighted sum": lambda run: (
        MostExcitingInput(neuron=run % NEURONS, **OFFERED) + (1.0 + run) * OBJECTIVES["discriminative"](run)
    ),
}
CONSTRAINTS: Mapping[str, Callable[[], Constraint]] = {
    "norm": lambda: ChangeNorm(2.0),
    "range": lambda: ClipRange(RANGE),
    "norm then range": lambda: NormThenRange(2.0, RANGE),
    "norm and range": lambda: NormAndRange(RANGE, 2.0),
    "display": lambda: DisplayRange(FACTS, mean=128.0, std=40.0),
    "mask": lambda: Masked(FACTS, sigma_um=100.0),
    "pin": lambda: Pinned(FACTS, first=1),
    "rank": lambda: NearestOfRank(1),
    "spatial low-pass": lambda: SpatialGaussianLowPass(0.5),
    "temporal low-pass": lambda: TemporalGaussianLowPass(0.5, 3),
}
OPTIMIZERS: Mapping[str, OptimizerInit] = {
    "SGD": partial(GradientDescent, lr=0.1),
    "Adam": partial(torch.optim.Adam, lr=0.02),
}


def per_iteration(problems: Sequence[Problem]) -> float:
    """Operations of one iteration of a stack."""
    profiled = profile(activities=[ProfilerActivity.CPU])

    def look(run: int, step: Step) -> None:
        if run == 0 and step.iteration == WARM:
            profiled.start()
        elif run == 0 and step.iteration == WARM + COUNTED:
            profiled.stop()

    stopper = OptimizationStopper(WARM + COUNTED + 1)
    optimize_stack([replace(problem, stopper=stopper) for problem in problems], look)
    return sum(event.name.startswith("aten::") for event in profiled.events()) / COUNTED


def small_problems(runs: int, objective: str, optimizer: str, constraint: str) -> list[Problem]:
    """Runs on the small model, each with its own neurons and start."""
    generator = torch.Generator().manual_seed(0)
    rule, stopper = CONSTRAINTS[constraint](), OptimizationStopper(1)
    starts = 0.1 * torch.randn(runs, *SHAPE, generator=generator)
    return [
        Problem(start, OBJECTIVES[objective](run), OPTIMIZERS[optimizer], stopper, [rule])
        for run, start in enumerate(starts)
    ]
