"""`objective=discriminative`: one cluster of neurons responds, the others do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from openretina_cli.checks import neuron_list, positive, require
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import Model, ReducedObjective, named
from openretina_cli.objective.cells import cell_types, choose_neurons, cluster_name, neurons_of_type
from openretina_cli.objective.stack import Means, Scorer
from openretina_cli.reducer import ResponseReducer

CLUSTERS_NAMED = 4
"""More clusters than these are counted, not named, so that an objective's text fits a title."""


class ContrastiveNeuronObjective(ReducedObjective):
    """The most discriminative stimulus (MDS): one cluster of neurons responds more than each other cluster.

    With r_k the reduced mean response of cluster k of K and T the temperature, the score is
    r_on / T - logsumexp_k(r_k / T) + log K, so that a stimulus that drives all clusters alike scores 0
    (Burg et al. 2024, Most discriminative stimuli for functional cell type clustering, ICLR,
    openreview.net/forum?id=9W6KaAcYlr).

    Args:
        model: see `Model`.
        on_cluster_idc: neurons of the cluster that is to respond.
        off_cluster_idc_list: neurons of each other cluster.
        data_key: the session.
        response_reducer: the window.
        temperature: T; the paper's 1.6.
    """

    def __init__(
        self,
        model: Model,
        on_cluster_idc: list[int],
        off_cluster_idc_list: list[list[int]],
        data_key: str | None,
        response_reducer: ResponseReducer,
        temperature: float = 1.6,
    ) -> None:
        super().__init__(model, data_key, response_reducer)
        self._clusters = [list(on_cluster_idc), *(list(cluster) for cluster in off_cluster_idc_list)]
        self._names = [named(cluster) for cluster in self._clusters]
        self._temperature = temperature

    def score(self, response: Tensor) -> Tensor:
        """Contrast the clusters' reduced responses."""
        reduced = self._response_reducer.forward(response)
        drive = torch.stack([reduced[cluster].mean() for cluster in self._clusters]) / self._temperature
        return drive[0] - torch.logsumexp(drive, dim=0) + math.log(len(drive))

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Contrast the clusters of all runs at once; a run with fewer clusters than others has silent ones."""
        means = Means([one._clusters for one in objectives], objectives[0]._response_reducer, responses)
        counts = responses.new_tensor([len(one._clusters) for one in objectives])
        temperatures = responses.new_tensor([[one._temperature] for one in objectives])
        absent = torch.arange(means.shape[1], device=responses.device) >= counts[:, None]
        silent = torch.zeros_like(absent, dtype=responses.dtype).masked_fill(absent, -math.inf)

        def score(responses: Tensor) -> Tensor:
            drive = means.of_reduced(responses) / temperatures + silent
            return drive[:, 0] - torch.logsumexp(drive, dim=1) + counts.log()

        return score

    def neurons(self) -> tuple[int, ...]:
        """The neurons of all clusters."""
        return tuple(dict.fromkeys(neuron for cluster in self._clusters for neuron in cluster))

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """The cluster that is to respond, and the others."""
        del response
        return tuple(map(tuple, self._clusters))

    def __repr__(self) -> str:
        on, *off = self._names
        others = " / ".join(off) if len(off) <= CLUSTERS_NAMED else f"{len(off)} other clusters"
        return f"{on} against {others}, temperature {self._temperature:g}, {self._response_reducer!r}"


def _clusters(
    facts: ModelFacts, session: str, on: list[int], off: list[list[int]] | None
) -> tuple[list[int], list[list[int]]]:
    """The neurons of the cluster that is to respond, and of each that is not."""
    neuron_list("on", on)
    if off is not None:
        require(len(off) > 0, "off", off, "one or more clusters, such as [[4,5],[6]], or null")
        others = [choose_neurons(facts, session, neuron_list("off", cluster), "off") for cluster in off]
        return choose_neurons(facts, session, on, "on"), others
    chosen = [neurons_of_type(facts, session, group, "on") for group in on]
    others = [cells for group, cells in cell_types(facts, session).items() if group not in on]
    if not others:
        raise SettingError(f"on={on} leaves no other cell type", repair="objective.off=[[4,5]]")
    return [neuron for cells in chosen for neuron in cells], others


class MostDiscriminativeStimulus(ContrastiveNeuronObjective):
    """The most discriminative stimulus of clusters of neurons, or of cell types.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        on: neurons that are to respond; cell types where `off` is None.
        off: clusters of neurons that are not to respond; None means every other cell type.
        temperature: see `ContrastiveNeuronObjective`.

    Raises:
        SettingError: the session has no such neuron or cell type, or a value is out of range.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        on: list[int],
        off: list[list[int]] | None = None,
        temperature: float = 1.6,
    ) -> None:
        positive("temperature", temperature)
        responding, silent = _clusters(facts, data_key, on, off)
        super().__init__(model, responding, silent, data_key, response_reducer, temperature)
        self._names = [cluster_name(facts, data_key, cluster) for cluster in self._clusters]
