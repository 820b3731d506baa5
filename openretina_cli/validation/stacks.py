"""Many problems at a time: moved onto another model, solved, or only measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from openretina_cli.loop.loop import Outcome, Problem, optimize_stack
from openretina_cli.models.retina import Retina
from openretina_cli.run import members
from openretina_cli.run.problem import Plan
from openretina_cli.stopper import OptimizationStopper

STACK = {"cpu": 16, "cuda": 256, "mps": 64}
"""Problems solved together, by device; see `run/workbench.py` for the measurements."""

Report = Callable[[str, int, int], None]
"""`report(stage, done, total)`: what is being done, and how much of it."""


def silent(stage: str, done: int, total: int) -> None:
    """Reports nothing."""


def moved_onto(plans: Sequence[Plan], retina: Retina) -> list[Problem]:
    """The plans' problems, put to the fast form of another model with the same sessions and neurons."""
    return [plan.problem for plan in members.moved_onto(plans, retina)]


def solve_all(problems: Sequence[Problem], stage: str, report: Report) -> list[Outcome]:
    """Solve problems in stacks of the size that suits the device."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(problems):
        report(stage, len(outcomes), len(problems))
        size = STACK[problems[0].stimulus.device.type]
        outcomes += optimize_stack(problems[len(outcomes) : len(outcomes) + size])
    report(stage, len(outcomes), len(problems))
    return outcomes


def measure(problems: Sequence[Problem], stimuli: Sequence[Tensor]) -> list[float]:
    """Each problem's objective for a stimulus `(channel, time, height, width)`, without optimising anything."""
    look = OptimizationStopper(0)
    fixed = [replace(p, stimulus=s, stopper=look) for p, s in zip(problems, stimuli, strict=True)]
    return [outcome.objective for outcome in solve_all(fixed, "", silent)]
