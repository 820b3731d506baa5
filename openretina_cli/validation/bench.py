"""The test bench: stimuli that were found on a twin, played to the simulated retina that it was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from openretina_cli.loop.loop import Problem
from openretina_cli.run.natural import natural_clips
from openretina_cli.run.problem import Plan
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.ganglion import Cell
from openretina_cli.simulation.retina import SimulatedRetina
from openretina_cli.validation.control import natural_scores, window_to_cell
from openretina_cli.validation.stacks import Report, measure, moved_onto, silent, solve_all
from openretina_cli.validation.verdict import Validation, gain

SEVERAL = "several types"

CENTRE = 1.0
"""Standard deviation in pixels of the window over which a stimulus' colours at a cell's centre are averaged."""

ROUNDING = 1e-6
"""Share by which a response in float32 differs between batches (seen 1e-7); less is no larger response."""


@dataclass(frozen=True)
class Candidate:
    """A stimulus to be judged.

    Attributes:
        plan: the problem that it solves.
        stimulus: `(channel, time, height, width)`.
        predicted: the objective that the twin promised.
        source: where it is from, such as its run's folder.
    """

    plan: Plan
    stimulus: Tensor
    predicted: float
    source: str = ""


def _correlation(x: Tensor, y: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([x, y]))[0, 1])


def seen_frames(plan: Plan) -> slice:
    """Stimulus frames that can reach what is scored."""
    return slice(*plan.seen(plan.problem.stimulus.shape[1]))


def centre_traces(stimulus: Tensor, cells: Sequence[Cell], seen: slice) -> Tensor:
    """Time courses `(channel, time)` of a stimulus at the centre of cells, in the frames that are seen."""
    row, column = (sum(getattr(cell, name) for cell in cells) / len(cells) for name in ("row", "column"))
    window = window_to_cell(torch.ones(stimulus.shape[-2:]), row, column, CENTRE)
    return (stimulus.cpu()[:, seen] * window).sum(dim=(2, 3)) / window.sum()


def largest(trace: Tensor) -> float:
    """The value `(time,)` that is furthest from zero, with its sign."""
    return float(trace[trace.abs().argmax()])


def optima(problems: Sequence[Problem], stimuli: Sequence[Tensor], report: Report) -> tuple[list[float], list[Tensor]]:
    """The best objectives known on the truth, and the stimuli `(channel, time, height, width)` it led to by itself.

    Each problem is solved on the truth twice, from its own start and from the stimulus that is judged. The first gives
    the stimulus to compare with; the better of both and of the stimulus itself is the optimum, as two more runs do not
    always find what the twin found.
    """
    best = [replace(problem, keep="best") for problem in problems]
    own = solve_all(best, "optimising on the truth", report)
    onward = solve_all(
        [replace(problem, stimulus=stimulus) for problem, stimulus in zip(best, stimuli, strict=True)],
        "optimising on the truth from the twin's stimuli",
        report,
    )
    objectives = [max(a.objective, b.best) for a, b in zip(own, onward, strict=True)]
    return objectives, [outcome.stimulus for outcome in own]


def _natural(
    candidates: Sequence[Candidate], problems: Sequence[Problem], truth: SimulatedRetina, report: Report
) -> list[Tensor]:
    """The objectives `(clip,)` of the natural clips, for every candidate."""
    lengths = {candidate.stimulus.shape[1] for candidate in candidates}
    clips = {frames: natural_clips(frames).to(candidates[0].stimulus.device) for frames in lengths}
    found = []
    for index, (candidate, problem) in enumerate(zip(candidates, problems, strict=True)):
        report("playing natural clips", index, len(candidates))
        plan, stimulus = candidate.plan, candidate.stimulus
        cells, norm = truth.cells(plan.session, plan.neurons), float(stimulus.norm())
        found.append(natural_scores(clips[stimulus.shape[1]], cells, seen_frames(plan), norm, problem))
    return found


def judge(
    candidate: Candidate, truth: SimulatedRetina, true: float, grey: float, optimum: float, natural: Tensor, own: Tensor
) -> Validation:
    """Put what was measured of one stimulus together; `own` is the stimulus that the truth led to."""
    plan = candidate.plan
    cells, sign = truth.cells(plan.session, plan.neurons), plan.problem.objective.sign
    groups = {cell.type.group for cell in cells}
    group = groups.pop() if len(groups) == 1 else None
    traces = centre_traces(candidate.stimulus, cells, seen_frames(plan))
    best = float(natural.max())
    beaten = true - natural > ROUNDING * natural.abs()
    return Validation(
        source=candidate.source,
        session=plan.session,
        neurons=plan.neurons,
        type=SEVERAL if group is None else GROUP_NAMES[group],
        group=group,
        objective=plan.settings.objective.name,
        predicted=sign * candidate.predicted,
        true=sign * true,
        grey=sign * grey,
        optimum=sign * optimum,
        natural=sign * best,
        percentile=100 * float(beaten.double().mean()),
        gain=gain(true, grey, optimum),
        natural_gain=gain(best, grey, optimum),
        above_natural=bool(beaten.all()),
        cosine=float(torch.cosine_similarity(candidate.stimulus.flatten(), own.flatten(), dim=0)),
        colours=_correlation(traces[0], traces[1]) if len(traces) > 1 else math.nan,
        polarity=largest(traces.mean(0)),
    )


def validate_stimuli(
    candidates: Sequence[Candidate], truth: SimulatedRetina, report: Report = silent
) -> list[Validation]:
    """Judge stimuli by the simulated retina.

    Args:
        candidates: the stimuli, on the device of the truth.
        truth: the simulated retina.
        report: called with the progress.

    Returns:
        A verdict per stimulus, in their order.
    """
    problems = moved_onto([candidate.plan for candidate in candidates], truth)
    stimuli = [candidate.stimulus for candidate in candidates]
    true = measure(problems, stimuli)
    grey = measure(problems, [torch.zeros_like(stimulus) for stimulus in stimuli])
    natural = _natural(candidates, problems, truth, report)
    found, own = optima(problems, stimuli, report)
    optimum = [max(a, b) for a, b in zip(found, true, strict=True)]
    columns = zip(candidates, true, grey, optimum, natural, own, strict=True)
    return [judge(candidate, truth, *rest) for candidate, *rest in columns]
