"""Runs whose parameters are one tensor, because they are stepped and constrained alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from openretina_cli.constraint.base import Constraint, constrained, reconciled
from openretina_cli.gradient.base import GradientStep
from openretina_cli.loop.run import Run
from openretina_cli.optimizer import shared_by


class Bundle:
    """Runs of a stack whose parameters are stepped by one optimizer, each as a tensor of its own.

    Args:
        runs: runs that `bundled` found to be alike.

    Attributes:
        values: the parameters of all runs, `(run, ...)`.
        stimuli: the stimuli `(run, channel, time, height, width)` that the parameters decode to; the gradient is taken
            with respect to them.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        problem = runs[0].problem
        self.constraints, self.gradient, self.parameters = problem.constraints, problem.gradient, problem.parameters
        self._hold(self.parameters.encode(torch.stack([run.problem.stimulus.detach() for run in runs])))
        self._rows = [row.detach().requires_grad_(True) for row in self.values.detach()]
        self._optimizer = problem.optimizer(self._rows)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """The stimulus `(channel, time, height, width)` of each run; gradients flow back to `stimuli`."""
        return self.stimuli.unbind()

    def advance(self, descent: Tensor) -> None:
        """Leave out runs that have ended, make a step with the others, and constrain the result.

        Args:
            descent: gradient of what is to fall, in the shape of `stimuli`.
        """
        going = [index for index, run in enumerate(self.runs) if run.outcome is None]
        values, before, decoded = self.values.detach(), self.stimuli.detach(), self._decoded
        if len(going) < len(self.runs):
            values, before, decoded, descent = values[going], before[going], decoded[going], descent[going]
            self._leave(going)
        else:
            values = values.clone()  # the stimulus before a step may be the one to keep
        if going:
            iteration = self.runs[0].iteration - 1  # runs of a bundle begin together
            for step in self.gradient:
                descent = step.at(iteration).process(descent)
            if self._decoded is not self.values:
                descent = self._pulled_back(decoded, descent)[going]
            self._hold(self._constrained(self._stepped(values, descent), before))

    def _pulled_back(self, decoded: Tensor, descent: Tensor) -> Tensor:
        """The gradient with respect to `values` where that with respect to what they decode to is `descent`."""
        (found,) = torch.autograd.grad((decoded * descent).sum(), [self.values])
        return found

    def _leave(self, going: Sequence[int]) -> None:
        for index in set(range(len(self.runs))) - set(going):
            # an optimizer passes over a tensor without a gradient
            self._rows[index].grad = None
            self._rows[index].data = self._rows[index].new_empty(0)
        self.runs = [self.runs[index] for index in going]
        self._rows = [self._rows[index] for index in going]

    def _stepped(self, values: Tensor, descent: Tensor) -> Tensor:
        for row, value, gradient in zip(self._rows, values, descent.contiguous(), strict=True):
            row.data = value
            row.grad = gradient
        self._optimizer.step()
        # a user's optimizer, which has a bundle to itself, may put new tensors in the place of old ones
        return self._rows[0].detach()[None] if len(self._rows) == 1 else values

    def _constrained(self, values: Tensor, before: Tensor) -> Tensor:
        if not self.constraints:
            return values
        allowed = constrained(self.constraints, self.parameters.decode(values), before)
        values = self.parameters.encode(allowed)
        made = self.parameters.decode(values)
        if made is allowed:
            return values
        return self.parameters.encode(reconciled(self.constraints, self.parameters, made))

    def _hold(self, values: Tensor) -> None:
        """Take parameters, and the stimuli that they decode to, for the next measurement."""
        self.values = values.detach().requires_grad_(True)
        with torch.enable_grad():
            self._decoded = self.parameters.decode(self.values)
        pixels = self._decoded is self.values
        self.stimuli = self.values if pixels else self._decoded.detach().requires_grad_(True)
        self.__dict__.pop("rows", None)


def _grouping(rule: Constraint | GradientStep, alone: Hashable) -> Hashable:
    """Equal for rules whose runs can share one call; a rule that is not pure gets a group per run."""
    return (type(rule), tuple(vars(rule).items())) if rule.pure else (type(rule), alone)


def bundled(runs: Sequence[Run]) -> list[Bundle]:
    """Put runs that are alike together."""
    alike: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        problem, stimulus = run.problem, run.problem.stimulus
        rules: list[Constraint | GradientStep] = [*problem.constraints, *problem.gradient]
        alike_rules = tuple(_grouping(rule, run.index) for rule in rules)
        shape = (stimulus.shape, stimulus.dtype, stimulus.device)
        optimizer = shared_by(problem.optimizer)
        alike[shape, optimizer or run.index, alike_rules, problem.parameters.grouping()].append(run)
    return [Bundle(some) for some in alike.values()]
