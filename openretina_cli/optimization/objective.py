"""Objectives: what is made as large as possible, as a score of the response to one stimulus."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from openretina_cli.errors import ObjectiveError
from openretina_cli.optimization.reducer import MeanReducer, ResponseReducer

CLUSTERS_NAMED = 4
"""More clusters than these are counted, not named, so that an objective's text fits a title."""

Model = Callable[..., Tensor]
"""`model(stimulus, data_key=session)`: `(batch, channel, time, height, width)` to `(batch, time, neuron)`."""


class AbstractObjective:
    """Base of all objectives. A subclass writes one of two methods.

    `score(response)`, from the response `(time, neuron)` of one run to a number, is the better choice: many runs then
    share one call of the model. `forward(stimulus)`, from a stimulus `(1, channel, time, height, width)` to a number,
    can do anything, and is called once per run.

    Args:
        model: see `Model`.
        data_key: the session; None calls the model without one.
    """

    def __init__(self, model: Model, data_key: str | None) -> None:
        self._model = model
        self._data_key = data_key

    @property
    def model(self) -> Model:
        """The model that is asked."""
        return self._model

    @property
    def data_key(self) -> str | None:
        """The session that is asked for."""
        return self._data_key

    @property
    def scores_responses(self) -> bool:
        """Whether the objective is written as `score(response)`, so that runs can share a call of the model."""
        return type(self).forward is AbstractObjective.forward

    def on(self, model: Model) -> AbstractObjective:
        """The same objective, asked of another model of the same session."""
        moved = copy.copy(self)
        moved._model = model
        return moved

    def modules(self) -> tuple[nn.Module, ...]:
        """The torch modules that the objective calls: its model, and modules among its attributes."""
        owners = (getattr(value, "func", getattr(value, "__self__", value)) for value in vars(self).values())
        return tuple(owner for owner in owners if isinstance(owner, nn.Module))

    def respond(self, stimuli: Tensor) -> Tensor:
        """Responses `(batch, time, neuron)` to stimuli `(batch, channel, time, height, width)`."""
        return self._model(stimuli) if self._data_key is None else self._model(stimuli, data_key=self._data_key)

    def model_forward(self, stimulus: Tensor) -> Tensor:
        """The response `(time, neuron)` to one stimulus `(1, channel, time, height, width)`.

        Raises:
            ObjectiveError: there is more than one stimulus in the batch.
        """
        if len(stimulus) != 1:
            raise ObjectiveError(
                f"model_forward was given {len(stimulus)} stimuli",
                expected="one, or an objective written as score()",
            )
        return self.respond(stimulus)[0]

    def score(self, response: Tensor) -> Tensor:
        """Score the response `(time, neuron)` of one run with a number; larger is better."""
        raise NotImplementedError(f"{type(self).__name__} needs a method score(response) or forward(stimulus)")

    def forward(self, stimulus: Tensor) -> Tensor:
        """Score stimuli `(batch, channel, time, height, width)` with one number each, `(batch,)`."""
        return torch.stack([self.score(response) for response in self.respond(stimulus)])

    def window(self, frames: int) -> tuple[int, int] | None:
        """The response frames `[start, stop)` that count in a response of `frames` frames, where there is a window."""
        del frames
        return None

    def neurons(self) -> tuple[int, ...] | None:
        """The neurons that count, or None for all of the session."""
        return None

    def __add__(self, other: AbstractObjective) -> WeightedSumObjective:
        return WeightedSumObjective([(1.0, self), (1.0, other)])

    def __rmul__(self, weight: float) -> WeightedSumObjective:
        return WeightedSumObjective([(float(weight), self)])

    def __repr__(self) -> str:
        return type(self).__name__


def _spans(neurons: Sequence[int]) -> list[str]:
    """Neurons as they are typed, runs of neighbours as `first..last`."""
    spans: list[list[int]] = []
    for neuron in neurons:
        if spans and neuron == spans[-1][-1] + 1:
            spans[-1].append(neuron)
        else:
            spans.append([neuron])
    return [f"{span[0]}..{span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans]


def _named(neurons: Sequence[int]) -> str:
    return f"neuron {neurons[0]}" if len(neurons) == 1 else "neurons " + ", ".join(_spans(neurons))


class IncreaseObjective(AbstractObjective):
    """The mean response of one or several neurons: its optimum is their most exciting input (MEI).

    Args:
        model: see `Model`.
        neuron_indices: a neuron, or neurons that are to respond together.
        data_key: the session.
        response_reducer: the window.
    """

    def __init__(
        self,
        model: Model,
        neuron_indices: list[int] | int,
        data_key: str | None,
        response_reducer: ResponseReducer,
    ) -> None:
        super().__init__(model, data_key)
        self._neuron_indices = [neuron_indices] if isinstance(neuron_indices, int) else list(neuron_indices)
        self._response_reducer = response_reducer

    def score(self, response: Tensor) -> Tensor:
        """Reduce the neurons' mean response."""
        return self._response_reducer.forward(response[:, self._neuron_indices].mean(dim=-1))

    def window(self, frames: int) -> tuple[int, int]:
        """The reducer's window."""
        return self._response_reducer.window(frames)

    def neurons(self) -> tuple[int, ...]:
        """The neurons asked for."""
        return tuple(self._neuron_indices)

    def __repr__(self) -> str:
        return f"increase {_named(self._neuron_indices)}, {self._response_reducer!r}"


class DecreaseObjective(IncreaseObjective):
    """Minus the mean response: its optimum is the neurons' most depressing input (MDI)."""

    def score(self, response: Tensor) -> Tensor:
        """Reduce the neurons' mean response, and change its sign."""
        return -super().score(response)

    def __repr__(self) -> str:
        return f"decrease {_named(self._neuron_indices)}, {self._response_reducer!r}"


class SparseObjective(AbstractObjective):
    """One neuron of the field responds, the others are silent.

    The score is twice the largest response of any neuron in any frame, less the sum over neurons of their mean
    response over time, as in the field objective of the package's example notebook (openretina 1.1.1).

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window of both terms; all frames by default.
    """

    def __init__(self, model: Model, data_key: str | None, response_reducer: ResponseReducer | None = None) -> None:
        super().__init__(model, data_key)
        self._response_reducer = response_reducer or MeanReducer()

    def score(self, response: Tensor) -> Tensor:
        """Twice the peak less the summed means."""
        start, stop = self.window(len(response))
        return 2 * response[start:stop].max() - self._response_reducer.forward(response).sum()

    def window(self, frames: int) -> tuple[int, int]:
        """The reducer's window."""
        return self._response_reducer.window(frames)

    def __repr__(self) -> str:
        return f"one strong neuron in a silent field, {self._response_reducer!r}"


class ContrastiveNeuronObjective(AbstractObjective):
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
        super().__init__(model, data_key)
        self._clusters = [list(on_cluster_idc), *(list(cluster) for cluster in off_cluster_idc_list)]
        self._response_reducer = response_reducer
        self._temperature = temperature

    def score(self, response: Tensor) -> Tensor:
        """Contrast the clusters' reduced responses."""
        reduced = self._response_reducer.forward(response)
        drive = torch.stack([reduced[cluster].mean() for cluster in self._clusters]) / self._temperature
        return drive[0] - torch.logsumexp(drive, dim=0) + math.log(len(drive))

    def window(self, frames: int) -> tuple[int, int]:
        """The reducer's window."""
        return self._response_reducer.window(frames)

    def neurons(self) -> tuple[int, ...]:
        """The neurons of all clusters."""
        return tuple(dict.fromkeys(neuron for cluster in self._clusters for neuron in cluster))

    def __repr__(self) -> str:
        on, *off = (_named(cluster) for cluster in self._clusters)
        others = " / ".join(off) if len(off) <= CLUSTERS_NAMED else f"{len(off)} other clusters"
        return f"{on} against {others}, temperature {self._temperature:g}, {self._response_reducer!r}"


class WeightedSumObjective(AbstractObjective):
    """A weighted sum of objectives of one model.

    Args:
        terms: weights and objectives.
    """

    def __init__(self, terms: Sequence[tuple[float, AbstractObjective]]) -> None:
        first = terms[0][1]
        super().__init__(first.model, first.data_key)
        self._terms = tuple(terms)

    def on(self, model: Model) -> WeightedSumObjective:
        """The same sum, asked of another model of the same session."""
        return WeightedSumObjective([(weight, term.on(model)) for weight, term in self._terms])

    def modules(self) -> tuple[nn.Module, ...]:
        """The torch modules that the terms call."""
        return tuple(module for _, term in self._terms for module in term.modules())

    @property
    def scores_responses(self) -> bool:
        """Whether all terms score the same response."""
        return all(
            term.scores_responses and term.model is self.model and term.data_key == self.data_key
            for _, term in self._terms
        )

    def score(self, response: Tensor) -> Tensor:
        """Sum the terms' scores."""
        return torch.stack([weight * term.score(response) for weight, term in self._terms]).sum()

    def forward(self, stimulus: Tensor) -> Tensor:
        """Sum the terms' scores of each stimulus, `(batch,)`."""
        if self.scores_responses:
            return super().forward(stimulus)
        return torch.stack([weight * term.forward(stimulus).reshape(-1) for weight, term in self._terms]).sum(0)

    def window(self, frames: int) -> tuple[int, int] | None:
        """The span of the terms' windows."""
        windows = [window for _, term in self._terms if (window := term.window(frames)) is not None]
        return (min(w[0] for w in windows), max(w[1] for w in windows)) if windows else None

    def neurons(self) -> tuple[int, ...] | None:
        """The neurons of all terms, unless one of them looks at the whole session."""
        named = [term.neurons() for _, term in self._terms]
        if any(neurons is None for neurons in named):
            return None
        return tuple(dict.fromkeys(neuron for neurons in named for neuron in neurons or ()))

    def __repr__(self) -> str:
        return " + ".join(f"{weight:g} * ({term!r})" for weight, term in self._terms)
