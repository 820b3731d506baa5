"""Solves runs: many at a time as one stack, each as if it were alone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from openretina_cli.config.settings import Settings
from openretina_cli.errors import OpenRetinaError
from openretina_cli.loop.loop import Outcome, optimize_stack
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.seeding import seeded
from openretina_cli.objective.cells import cluster_name
from openretina_cli.output.view import Cluster, RunView
from openretina_cli.run.currency import Currency
from openretina_cli.run.members import member_scores
from openretina_cli.run.model import Workbench
from openretina_cli.run.problem import Plan, accelerate, full_responses
from openretina_cli.run.restarts import optimize_best
from openretina_cli.stopper import Step
from openretina_cli.store.identity import Identity
from openretina_cli.store.starts import labels_of, remark_of

log = logging.getLogger(__name__)

K = TypeVar("K")


class Reporter(Protocol):
    """Hears how runs go on."""

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Bytes of a download arrived."""

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """The model is loaded, and the runs of a stack begin."""

    def step(self, run: int, step: Step) -> None:
        """A stimulus of one run of the stack was measured."""

    def write(self) -> None:
        """The artefacts are being written."""


@dataclass(frozen=True)
class Solved:
    """One solved run, ready to be written.

    Attributes:
        plan: what was asked for.
        identity: everything that shaped the numbers, as it was when the run was planned.
        outcome: what the loop found.
        view: what the pictures show.
        device: where it ran.
        seconds: wall time of the stack it was solved in.
        batch: number of runs in that stack.
        members: the score of the stimulus on each member of an ensemble; None where there are none.
    """

    plan: Plan
    identity: Identity
    outcome: Outcome
    view: RunView
    device: torch.device
    seconds: float
    batch: int
    members: tuple[float, ...] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the model, the settings and the run."""
        return (*self.plan.retina.warnings, *self.plan.warnings, *self.outcome.warnings)

    @property
    def failure(self) -> str | None:
        """What went wrong, if the run diverged."""
        return self.outcome.failure


def title_of(plan: Plan) -> str:
    """What a run optimises, in one line."""
    return f"{plan.retina.facts.name}, session {plan.session}: {plan.problem.objective!r}"


def _held(response: Tensor, frames: int, facts: ModelFacts) -> Tensor:
    """A row per stimulus frame from the first response on; where a layer answers in other frames, its last is last."""
    rows = frames - facts.lag
    if len(response) == facts.response_frames(frames):
        return response.repeat_interleave(facts.response_stride, dim=0)[:rows]
    missing = response.new_full((max(rows - len(response), 0), response.shape[1]), math.nan)
    return torch.cat([missing, response])[-rows:]


def _view(plan: Plan, outcome: Outcome, response: Tensor) -> RunView:
    stimulus = outcome.stimulus
    facts, own = plan.retina.facts, plan.problem.objective.own_trace
    held = _held(response, stimulus.shape[1], facts)
    stride = facts.response_stride
    clusters = plan.problem.objective.clusters(response)
    places = {neuron: place for place, neuron in enumerate(plan.neurons)}
    return RunView(
        stimulus=stimulus.float().cpu().numpy().astype(np.float32),
        channels=facts.channels,
        response=held.float().cpu().numpy(),
        trace_names=(own,) if own else tuple(f"neuron {neuron}" for neuron in plan.neurons),
        lag=facts.lag,
        window=None if plan.window is None else (plan.window[0] * stride, min(plan.window[1] * stride, len(held))),
        frame_rate=facts.frame_rate,
        pixel_size=facts.pixel_size,
        title=title_of(plan),
        remark=remark_of(outcome.record),
        members=tuple(member.float().cpu().numpy() for member in outcome.members),
        labels=labels_of(outcome.record),
        clusters=tuple(
            Cluster(cluster_name(facts, plan.session, some), tuple(places[neuron] for neuron in some))
            for some in clusters
        ),
        history=np.array([[step.iteration, step.objective] for step in outcome.history]),
    )


@contextmanager
def _precision(tf32: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of a product to 10 bits; torch allows it in convolutions if not told."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Solver:
    """Solves runs in stacks; the model is loaded once for neighbours that share it.

    Args:
        reporter: receives the progress.
        bench: plans the runs; it may hold a model already.
        currency: finds the identity of the runs; it may have read their files already.
    """

    def __init__(self, reporter: Reporter, bench: Workbench | None = None, currency: Currency | None = None) -> None:
        self.bench = bench or Workbench(reporter.download)
        self.currency = currency or Currency(lambda settings: self.bench.retina(settings).facts.sha256)
        self._reporter = reporter

    def solve(self, asked: Iterable[tuple[K, Settings]]) -> Iterator[tuple[K, Solved | OpenRetinaError]]:
        """Solve runs, as many at a time as suit the device; the next are taken when the ones before were yielded.

        A stack ends where the model changes from one run to the next, since all runs of a stack share one model.

        Args:
            asked: runs and a name for each; neighbours should share their model.

        Yields:
            The name of each run, in order, with what came out: the solved run, or why there is none.
        """
        waiting = iter(asked)
        first = next(waiting, None)
        while first is not None:
            name, settings = first
            try:
                size = self.bench.stack_size(settings)
            except OpenRetinaError as error:
                yield name, error
                first = next(waiting, None)
                continue
            stack, first = _stack_of(first, waiting, size)
            results = self._solve_stack([settings for _, settings in stack])
            yield from zip((name for name, _ in stack), results, strict=True)
            first = first or next(waiting, None)

    def _solve_stack(self, batch: Sequence[Settings]) -> list[Solved | OpenRetinaError]:
        started = time.perf_counter()
        plans = [self._planned(settings) for settings in batch]
        sound = accelerate([plan for plan in plans if isinstance(plan, Plan)])
        if sound:
            self._begin(sound)
        results = iter(self._optimized(sound, started, range(len(sound))))
        return [next(results) if isinstance(plan, Plan) else plan for plan in plans]

    def _planned(self, settings: Settings) -> Plan | OpenRetinaError:
        try:
            self.currency.identity(settings, "")  # reads the sources before they are imported
            return self.bench.plan(settings)
        except OpenRetinaError as error:
            return error

    def _begin(self, plans: Sequence[Plan]) -> None:
        iterations = max(plan.problem.stopper.max_iterations for plan in plans)
        facts = plans[0].retina.facts
        self._reporter.begin([title_of(plan) for plan in plans], facts, str(self.bench.device), iterations)
        log.info("%d runs on %s, until %r", len(plans), self.bench.device, plans[0].problem.stopper)

    def _optimized(self, plans: Sequence[Plan], started: float, numbers: range) -> list[Solved | OpenRetinaError]:
        """Optimise plans together; if that fails, in halves, so that one run's failure stays its own."""
        if not plans:
            return []
        try:
            with _precision(plans[0].settings.tf32), seeded(self.bench.device):
                outcomes = _optimized_starts(plans, lambda run, step: self._reporter.step(numbers[run], step))
                return [*self._solved(plans, outcomes, started)]
        except OpenRetinaError as error:
            if len(plans) == 1:
                return [error]
        half = len(plans) // 2
        return [
            *self._optimized(plans[:half], started, numbers[:half]),
            *self._optimized(plans[half:], started, numbers[half:]),
        ]

    def _solved(self, plans: Sequence[Plan], outcomes: Sequence[Outcome], started: float) -> Iterator[Solved]:
        stimuli = [outcome.stimulus for outcome in outcomes]
        responses, members = full_responses(plans, stimuli), member_scores(plans, stimuli)
        seconds = time.perf_counter() - started
        for plan, outcome, response, scores in zip(plans, outcomes, responses, members, strict=True):
            view = _view(plan, outcome, response)
            identity = self.currency.identity(plan.settings, plan.retina.facts.sha256)
            yield Solved(plan, identity, outcome, view, self.bench.device, seconds, len(plans), scores)


def _stack_of(
    first: tuple[K, Settings], waiting: Iterator[tuple[K, Settings]], size: int
) -> tuple[list[tuple[K, Settings]], tuple[K, Settings] | None]:
    """A stack that begins with a run, at most `size` runs of one model; and the run after it, if that was taken."""
    stack = [first]
    while len(stack) < size and (following := next(waiting, None)) is not None:
        if not _share_model(first[1], following[1]):
            return stack, following
        stack.append(following)
    return stack, None


def _optimized_starts(plans: Sequence[Plan], on_step: Callable[[int, Step], None]) -> list[Outcome]:
    if any(plan.starts for plan in plans):
        return optimize_best(plans, on_step)
    return optimize_stack([plan.problem for plan in plans], on_step)


def _share_model(one: Settings, other: Settings) -> bool:
    shared = ("model", "device", "tf32", "frames", "restarts")
    return all(getattr(one, name) == getattr(other, name) for name in shared)


def solve(batch: Iterable[Settings], reporter: Reporter) -> list[Solved]:
    """Solve runs and return them all.

    Raises:
        OpenRetinaError: the first of them that failed says why.
    """
    solved = []
    for _, result in Solver(reporter).solve((None, settings) for settings in batch):
        if isinstance(result, OpenRetinaError):
            raise result
        solved.append(result)
    return solved
