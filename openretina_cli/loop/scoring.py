"""Scores many runs from one response, with a number of tensor operations that does not grow with the runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from openretina_cli.objective.base import AbstractObjective, Term, Weights


def linear_scores(weights: Sequence[Weights], responses: Tensor) -> Tensor:
    """The scores `(run,)` of responses `(run, time, neuron)` under the weights of each run.

    Terms of one window are one mean over time and one product; of frames and neurons without a term nothing is read.
    """
    windows: dict[tuple[int, int], list[tuple[int, Term]]] = defaultdict(list)
    for row, some in enumerate(weights):
        for term in some.terms:
            windows[term.start, term.stop].append((row, term))
    scores = responses.new_tensor([some.constant for some in weights])
    for (start, stop), terms in windows.items():
        rows, neurons = torch.tensor([(row, term.neuron) for row, term in terms], device=responses.device).unbind(1)
        factors = responses.new_tensor([term.weight for _, term in terms])
        means = responses[:, start:stop].mean(dim=1)
        scores = scores.index_add(0, rows, means[rows, neurons] * factors)
    return scores


def scores_of(objectives: Sequence[AbstractObjective], responses: Tensor) -> list[Tensor]:
    """Score the response `(run, time, neuron)` of each run; objectives that are linear share one product."""
    stated = [objective.stated_weights(responses.shape[1]) for objective in objectives] if len(objectives) > 1 else []
    linear = {index: weights for index, weights in enumerate(stated) if weights is not None}
    scores: dict[int, Tensor] = {}
    if len(linear) > 1:
        some = responses if len(linear) == len(responses) else responses[list(linear)]
        scores.update(zip(linear, linear_scores(list(linear.values()), some).unbind(), strict=True))
    for index, response in enumerate(responses.unbind()):
        if index not in scores:
            scores[index] = objectives[index].score(response)
    return [scores[index] for index in range(len(objectives))]
