"""Runs whose parameters are one tensor, because they are stepped and constrained alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from openretina_cli.constraint.base import Constraint, constrained, reconciled
from openretina_cli.gradient.base import GradientStep
from openretina_cli.loop.run import Run
from openretina_cli.optimizer import keep_rows, shared_by
from openretina_cli.penalty import Penalty

IDLE = 8
"""Runs that have ended stay in a stack, and stand still there, until one row in so many is idle: rows are then taken
out together, as taking them out copies all others."""


class Bundle:
    """Runs of a stack whose parameters are rows of one tensor, stepped by one optimizer.

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
        self._penalties = problem.penalties
        self._hold(self.parameters.encode(torch.stack([run.problem.stimulus.detach() for run in runs])))
        self._before = self._best = self.stimuli.detach()
        self._keeps_best = any(run.problem.keep == "best" for run in runs)
        self._iteration = 0
        # an optimizer that takes a tensor for a whole gets a run without the axis of runs
        self._whole = shared_by(problem.optimizer) is None
        start = self.values.detach()
        self._param = (start[0] if self._whole else start).clone().requires_grad_(True)
        self._optimizer = problem.optimizer([self._param])

    def penalty(self) -> Tensor | None:
        """The summed penalties `(run,)`; None where there is none."""
        total: Tensor | None = None
        for penalty in self._penalties:
            price = penalty.forward(self.stimuli).reshape(len(self.runs), -1).sum(1)
            total = price if total is None else total + price
        return total

    def record(self) -> None:
        """Hold on to stimuli that are to be kept, and close the runs that ended with the last measurement."""
        now = self.stimuli.detach()
        if self._keeps_best:
            better = [run.kept == self._iteration for run in self.runs]
            if all(better):
                self._best = now
            elif any(better):
                mask = torch.tensor(better, device=now.device).view(-1, *[1] * (now.dim() - 1))
                self._best = torch.where(mask, now, self._best)
        for row, run in enumerate(self.runs):
            if run.ended and run.outcome is None:
                kept = now if run.kept == self._iteration else self._before
                run.close((self._best if run.problem.keep == "best" else kept)[row])
        self._before = now

    def advance(self, descent: Tensor, at_once: bool) -> bool:
        """Make a step with the runs that go on, and constrain the result.

        Args:
            descent: gradient of what is to fall, in the shape of `stimuli`.
            at_once: whether runs that have ended are taken out at once.

        Returns:
            Whether runs were taken out.
        """
        going = [index for index, run in enumerate(self.runs) if not run.ended]
        idle = len(self.runs) - len(going)
        if not going:
            self.runs = []
            return True
        for step in self.gradient:
            descent = step.at(self._iteration).process(descent)
        values = self._before
        if self._decoded is not self.values:
            values, descent = self.values.detach(), self._pulled_back(descent)
        at_once = at_once or idle * IDLE >= len(self.runs) or any(run.diverged for run in self.runs)
        leave = idle > 0 and at_once
        if idle > 0:
            rows = torch.tensor(going, device=values.device)
            if leave:
                values, descent = values.index_select(0, rows), descent.index_select(0, rows)
                self._leave(going, rows)
            else:
                still = torch.zeros(len(self.runs), device=values.device).index_fill(0, rows, 1)
                descent = descent * still.to(descent).view(-1, *[1] * (descent.dim() - 1))
        self._iteration += 1
        self._hold(self._constrained(self._stepped(values, descent)))
        return leave

    def _pulled_back(self, descent: Tensor) -> Tensor:
        """The gradient with respect to `values` where that with respect to what they decode to is `descent`."""
        (found,) = torch.autograd.grad((self._decoded * descent).sum(), [self.values])
        return found

    def _leave(self, going: Sequence[int], rows: Tensor) -> None:
        self.runs = [self.runs[index] for index in going]
        self._before, self._best = self._before.index_select(0, rows), self._best.index_select(0, rows)
        keep_rows(self._optimizer, self._param, rows)

    def _stepped(self, values: Tensor, descent: Tensor) -> Tensor:
        """The parameters after a step, in memory of their own."""
        self._param.data = (values[0] if self._whole else values).clone()
        self._param.grad = (descent[0] if self._whole else descent).contiguous()
        self._optimizer.step()
        # a user's optimizer may put a new tensor in the place of the old one
        found = self._param.detach()
        return found[None] if self._whole else found

    def _constrained(self, values: Tensor) -> Tensor:
        if not self.constraints:
            return values
        allowed = constrained(self.constraints, self.parameters.decode(values), self._before)
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


Rule = Constraint | GradientStep | Penalty


def _grouping(rule: Rule, alone: Hashable) -> Hashable:
    """Equal for rules whose runs can share one call; a rule that is not pure gets a group per run."""
    return (type(rule), tuple(vars(rule).items())) if rule.pure else (type(rule), alone)


def bundled(runs: Sequence[Run]) -> list[Bundle]:
    """Put runs that are alike together."""
    alike: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        problem, stimulus = run.problem, run.problem.stimulus
        rules: list[Rule] = [*problem.constraints, *problem.gradient, *problem.penalties]
        alike_rules = tuple(_grouping(rule, run.index) for rule in rules)
        shape = (stimulus.shape, stimulus.dtype, stimulus.device)
        optimizer = shared_by(problem.optimizer)
        alike[shape, optimizer or run.index, alike_rules, problem.parameters.grouping()].append(run)
    return [Bundle(some) for some in alike.values()]
