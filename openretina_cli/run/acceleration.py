"""Moves runs onto the fast form of their model, where it has one, behind the interface of the full model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from openretina_cli.run.problem import Plan

Window = tuple[int, int]
"""Response frames `[start, stop)`."""


class WindowedModel:
    """A fast form behind the interface of the full model.

    Frames and neurons outside its window and set are NaN, so that the score of an objective that reads one by mistake
    is not finite, instead of wrong.

    Args:
        fast: the fast form.
        neurons: the neurons it answers for.
        window: the response frames `[start, stop)` it answers for.
        shape: response frames and neurons of the full model.
    """

    def __init__(self, fast: nn.Module, neurons: Sequence[int], window: Window, shape: tuple[int, int]) -> None:
        self.fast = fast
        self.neurons = list(neurons)
        self.window = slice(*window)
        self.shape = shape

    def __call__(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time, neuron)` to stimuli `(batch, channel, time, height, width)`; see the class."""
        del data_key  # a fast form is made for one session
        known: Tensor = self.fast(stimulus)
        if known.shape[1:] == self.shape:
            return known
        response = stimulus.new_full((len(stimulus), *self.shape), math.nan)
        response[:, self.window, self.neurons] = known
        return response


def _windowed(plans: Sequence[Plan], frames: int, window: Window) -> WindowedModel | None:
    """One fast form that serves runs of one model, session, stimulus length and window."""
    first = plans[0]
    total = first.retina.facts.sessions[first.session]
    neurons = sorted({neuron for plan in plans for neuron in plan.neurons})
    fast = first.retina.fast_form(first.session, neurons, frames, window)
    if fast is None:
        return None
    return WindowedModel(fast, neurons, window, (first.retina.facts.response_frames(frames), total))


def _together(plan: Plan) -> tuple[int, ...]:
    """Grouping key of runs that share a fast form; see `Retina.shared`."""
    return plan.retina.shared(plan.session, plan.neurons)


def accelerate(plans: Sequence[Plan]) -> list[Plan]:
    """Move runs onto the fast form of their model; runs that have none, or call the model themselves, stay.

    Args:
        plans: the runs.
    """
    groups: dict[tuple[int, str, tuple[int, ...], int, Window], list[int]] = defaultdict(list)
    for index, plan in enumerate(plans):
        if plan.problem.objective.fits_fast_form:
            frames = plan.problem.stimulus.shape[1]
            window = plan.window or (0, plan.retina.facts.response_frames(frames))
            groups[id(plan.retina), plan.session, _together(plan), frames, window].append(index)
    moved = list(plans)
    for (_, _, _, frames, window), indices in groups.items():
        model = _windowed([plans[index] for index in indices], frames, window)
        if model is None:
            continue
        for index in indices:
            problem = plans[index].problem
            faster = replace(problem, objective=problem.objective.on(model))
            moved[index] = replace(plans[index], problem=faster)
    return moved


@torch.no_grad()
def full_responses(plans: Sequence[Plan], stimuli: Sequence[Tensor]) -> list[Tensor]:
    """What the model answers to the stimulus of each run, in all frames.

    Args:
        plans: the runs.
        stimuli: a stimulus `(channel, time, height, width)` per run.

    Returns:
        A response `(time, neuron)` per run, of the neurons that count in it, in its order.
    """
    groups: dict[tuple[int, str, tuple[int, ...], int], list[int]] = defaultdict(list)
    for index, (plan, stimulus) in enumerate(zip(plans, stimuli, strict=True)):
        groups[id(plan.retina), plan.session, _together(plan), stimulus.shape[1]].append(index)
    found: dict[int, Tensor] = {}
    for (_, session, _, frames), indices in groups.items():
        stack = torch.stack([stimuli[index] for index in indices])
        retina = plans[indices[0]].retina
        model = _windowed([plans[index] for index in indices], frames, (0, retina.facts.response_frames(frames)))
        responses = retina(stack, data_key=session) if model is None else model(stack)
        for index, response in zip(indices, responses, strict=True):
            found[index] = response[:, list(plans[index].neurons)]
    return [found[index] for index in range(len(plans))]
