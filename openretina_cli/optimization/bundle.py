"""Runs whose stimuli are one tensor, because they are stepped and constrained alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from openretina_cli.optimization.constraint import Constraint
from openretina_cli.optimization.descent import GradientDescent
from openretina_cli.optimization.problem import Problem
from openretina_cli.optimization.run import Run

NOT_APART = (torch.optim.LBFGS,)
"""Optimizers that take all their tensors for one; the others step every tensor by itself."""


class Bundle:
    """Some runs of a stack. Their stimuli are stepped by one optimizer, each as a tensor of its own.

    Args:
        runs: runs that `bundled` found to be alike.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self.constraints = runs[0].problem.constraints
        self.stimuli = torch.stack([run.problem.stimulus.detach() for run in runs]).requires_grad_(True)
        self._rows = [row.detach().requires_grad_(True) for row in self.stimuli.detach()]
        self._optimizer = runs[0].problem.optimizer(self._rows)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """The stimulus `(channel, time, height, width)` of each run; gradients flow back to `stimuli`."""
        return self.stimuli.unbind()

    def advance(self, descent: Tensor) -> None:
        """Leave out runs that have ended, make a step with the others, and constrain the result.

        Args:
            descent: gradient of what is to fall, `(run, channel, time, height, width)`.
        """
        going = [index for index, run in enumerate(self.runs) if run.outcome is None]
        stimuli = self.stimuli.detach()
        if len(going) < len(self.runs):
            stimuli, descent = stimuli[going], descent[going]
            self._leave(going)
        else:
            stimuli = stimuli.clone()  # the stimulus before a step may be the one to keep
        if going:
            self._replace(self._constrained(self._stepped(stimuli, descent)))

    def _leave(self, going: Sequence[int]) -> None:
        for index in set(range(len(self.runs))) - set(going):
            # an optimizer passes over a tensor without a gradient
            self._rows[index].grad = None
            self._rows[index].data = self._rows[index].new_empty(0)
        self.runs = [self.runs[index] for index in going]
        self._rows = [self._rows[index] for index in going]

    def _stepped(self, stimuli: Tensor, descent: Tensor) -> Tensor:
        for row, stimulus, gradient in zip(self._rows, stimuli, descent.contiguous(), strict=True):
            row.data = stimulus
            row.grad = gradient
        self._optimizer.step()
        # a stranger's optimizer, which has a bundle to itself, may put new tensors in the place of old ones
        return self._rows[0].detach()[None] if len(self._rows) == 1 else stimuli

    def _constrained(self, stimuli: Tensor) -> Tensor:
        for constraint in self.constraints:
            stimuli = constraint.process(stimuli)
        return stimuli

    def _replace(self, stimuli: Tensor) -> None:
        self.stimuli = stimuli.detach().requires_grad_(True)
        self.__dict__.pop("rows", None)


def _constraint_key(constraint: object, alone: Hashable) -> Hashable:
    """What says that two constraints are the same; strangers may keep a state, so that each run has its own."""
    if not isinstance(constraint, Constraint):
        return constraint
    if type(constraint).__module__ != Constraint.__module__:
        return alone
    return type(constraint), tuple((name, _constraint_key(value, alone)) for name, value in vars(constraint).items())


def _optimizer_key(problem: Problem, alone: Hashable) -> Hashable:
    """What says that two runs may share an optimizer: a class of torch's or ours, with the same arguments."""
    make = problem.optimizer
    if not isinstance(make, partial) or make.args or not isinstance(make.func, type):
        return alone
    ours = make.func is GradientDescent
    if not (ours or make.func.__module__.startswith("torch.optim.")) or issubclass(make.func, NOT_APART):
        return alone
    return make.func, repr(sorted(make.keywords.items()))


def bundled(runs: Sequence[Run]) -> list[Bundle]:
    """Put runs that are alike together."""
    alike: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        problem, stimulus = run.problem, run.problem.stimulus
        constraints = tuple(_constraint_key(constraint, run.index) for constraint in problem.constraints)
        shape = (stimulus.shape, stimulus.dtype, stimulus.device)
        alike[shape, _optimizer_key(problem, run.index), constraints].append(run)
    return [Bundle(some) for some in alike.values()]
