"""Objectives: what is made as large as possible, as a score of the response to one stimulus."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from openretina_cli.checks import require
from openretina_cli.errors import ObjectiveError
from openretina_cli.objective.stack import Means, Scorer, Stack
from openretina_cli.reducer import ResponseReducer, holds_for

Model = Callable[..., Tensor]
"""`model(stimulus, data_key=session)`: `(batch, channel, time, height, width)` to `(batch, time, neuron)`."""


class Term(NamedTuple):
    """The mean response of one neuron in the response frames `[start, stop)`, times a weight."""

    start: int
    stop: int
    neuron: int
    weight: float


@dataclass(frozen=True)
class Weights:
    """A score that is linear in the response: the sum of terms, and a constant."""

    terms: tuple[Term, ...]
    constant: float = 0.0

    def times(self, factor: float) -> Weights:
        """The same score, times a factor."""
        terms = tuple(term._replace(weight=factor * term.weight) for term in self.terms)
        return Weights(terms, factor * self.constant)


def summed(weights: Sequence[Weights | None]) -> Weights | None:
    """The sum of linear scores; None where one of them is not linear."""
    found = [some for some in weights if some is not None]
    if len(found) < len(weights):
        return None
    return Weights(tuple(term for some in found for term in some.terms), sum(some.constant for some in found))


class AbstractObjective:
    """Base of all objectives. A subclass writes one of two methods.

    `score(response)`, from the response `(time, neuron)` of one run to a number, is the better choice: many runs then
    share one call of the model. `forward(stimulus)`, from a stimulus `(1, channel, time, height, width)` to a number,
    can do anything, and is called once per run.

    Args:
        model: see `Model`.
        data_key: the session; None calls the model without one.

    Attributes:
        sign: 1 where a larger response is the better one, -1 where a smaller one is.
        of_one_cell: whether the settings `neuron` and `group` choose what it is about, so that it can be posed for
            every cell in turn.
        set_size: stimuli that one run optimises as a set, which `forward` scores together; 1 for no set.
        counts_members: whether its setting `count` is the number of members.
    """

    sign: int = 1
    set_size: int = 1
    counts_members: ClassVar[bool] = False
    of_one_cell: ClassVar[bool] = False

    def __init__(self, model: Model, data_key: str | None) -> None:
        self._model = model
        self._data_key = data_key

    @property
    def model(self) -> Model:
        """The model whose responses are scored."""
        return self._model

    @property
    def data_key(self) -> str | None:
        """The session of the model."""
        return self._data_key

    @property
    def scores_responses(self) -> bool:
        """Whether the objective is written as `score(response)`, so that runs can share a call of the model."""
        return type(self).forward is AbstractObjective.forward

    @property
    def fits_fast_form(self) -> bool:
        """Whether its window and neurons hold all that it reads of responses, so that a fast form can answer it."""
        return self.scores_responses

    @property
    def own_trace(self) -> str:
        """Name of what `respond` answers, in tables and figures, where that is no response of neurons; else empty."""
        return ""

    @property
    def shared_call(self) -> Hashable:
        """Equal for objectives to which `respond` answers alike, so that runs can share its call."""
        return id(self._model), self._data_key

    def on(self, model: Model) -> AbstractObjective:
        """The same objective on another model of the same session."""
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

    @property
    def of_one(self) -> AbstractObjective:
        """What a single stimulus is judged by: the objective itself, unless it is about a set."""
        return self

    def report_set(self, stimuli: Tensor) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What a result says of the stimuli `(member, channel, time, height, width)` of a set.

        Returns:
            Numbers of the set, and of each member; of a member at least `activation`, the larger the better, and
            `keeps`, whether it is what the set asks for.
        """
        raise NotImplementedError(f"{type(self).__name__} has a set of {len(stimuli)} and needs a report_set(stimuli)")

    def weights(self, frames: int) -> Weights | None:
        """The score of a response of `frames` frames as weights, where it is linear in the response; else None.

        A stack of runs whose objectives state weights is scored by one product. A subclass that overrides `score`
        states weights of its own, or is taken for not linear.
        """
        del frames
        return None

    def stated_weights(self, frames: int) -> Weights | None:
        """What `weights` states, unless a subclass overrides `score` and leaves `weights` as it was."""
        return self.weights(frames) if holds_for(type(self), "weights", "score") else None

    def grouping(self) -> Hashable | None:
        """Equal for objectives of a class that `scorer` can score together; None, as of the base, row by row."""
        return None

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """How a stack of objectives with equal `grouping` is scored, with one call for all.

        A subclass that overrides `score` says so anew, or its objectives are scored row by row.

        Args:
            objectives: objectives of this class.
            responses: responses `(run, time, neuron)` as they will be scored, of which shape, type and device count.
        """
        raise NotImplementedError(f"{cls.__name__} has a grouping and needs a scorer(objectives, responses)")

    def window(self, frames: int) -> tuple[int, int] | None:
        """The response frames `[start, stop)` that count in a response of `frames` frames, where there is a window."""
        del frames
        return None

    def neurons(self) -> tuple[int, ...] | None:
        """The neurons that count, or None for all of the session."""
        return None

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """The neurons that are compared, or answer as one, those that are to respond first; empty for a neuron alone.

        Args:
            response: `(time, neuron)` to the final stimulus, of all neurons that count.
        """
        del response
        return ()

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


def named(neurons: Sequence[int]) -> str:
    """Neurons as text, such as `neurons 1..4, 9`."""
    return f"neuron {neurons[0]}" if len(neurons) == 1 else "neurons " + ", ".join(_spans(neurons))


class ReducedObjective(AbstractObjective):
    """Base of objectives that look at the response in the window of one reducer.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
    """

    def __init__(self, model: Model, data_key: str | None, response_reducer: ResponseReducer) -> None:
        super().__init__(model, data_key)
        self._response_reducer = response_reducer

    def window(self, frames: int) -> tuple[int, int] | None:
        """The reducer's window."""
        return self._response_reducer.window(frames)

    def grouping(self) -> Hashable | None:
        """Runs of equal windows are scored together, where a subclass states a `scorer`."""
        return self._response_reducer.grouping()

    def mean_of(self, neurons: Sequence[int], frames: int, reducer: ResponseReducer | None = None) -> Weights | None:
        """The mean response of neurons as weights, in the window of `reducer`; None where that takes no mean."""
        reducer = reducer or self._response_reducer
        if not reducer.is_mean:
            return None
        window = reducer.window(frames)
        return Weights(tuple(Term(*window, neuron, 1 / len(neurons)) for neuron in neurons))


class MeanResponseObjective(ReducedObjective):
    """The mean response of one or several neurons, or minus it where the class says `sign = -1`.

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
        super().__init__(model, data_key, response_reducer)
        self._neuron_indices = [neuron_indices] if isinstance(neuron_indices, int) else list(neuron_indices)
        self._name = named(self._neuron_indices)

    def score(self, response: Tensor) -> Tensor:
        """Reduce the neurons' mean response."""
        reduced = self._response_reducer.forward(response[:, self._neuron_indices].mean(dim=-1))
        return reduced if self.sign > 0 else -reduced

    def weights(self, frames: int) -> Weights | None:
        """The mean, where the reducer takes one."""
        mean = self.mean_of(self._neuron_indices, frames)
        return None if mean is None else mean.times(self.sign)

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Reduce all traces at once, where the reducer takes no mean."""
        reducer = objectives[0]._response_reducer
        means = Means([[objective._neuron_indices] for objective in objectives], reducer, responses)
        signs = responses.new_tensor([objective.sign for objective in objectives])
        return lambda responses: means(responses)[:, 0] * signs

    def neurons(self) -> tuple[int, ...]:
        """The neurons of the mean."""
        return tuple(self._neuron_indices)

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """The neurons of the mean, where there are several."""
        del response
        return (self.neurons(),) if len(self._neuron_indices) > 1 else ()

    def __repr__(self) -> str:
        verb = "increase" if self.sign > 0 else "decrease"
        return f"{verb} {self._name}, {self._response_reducer!r}"


class OuterObjective(AbstractObjective):
    """Base of objectives that change what another one sees.

    Args:
        of: the other objective.
    """

    def __init__(self, of: AbstractObjective) -> None:
        require(isinstance(of, AbstractObjective), "of", type(of).__name__, "an objective, with its _target_")
        super().__init__(of.model, of.data_key)
        self._of = of
        self.sign = of.sign

    @property
    def fits_fast_form(self) -> bool:
        """Whether the inner objective's window and neurons hold all that it reads."""
        return self._of.fits_fast_form

    @property
    def own_trace(self) -> str:
        """The inner objective's."""
        return self._of.own_trace

    @property
    def shared_call(self) -> Hashable:
        """As the inner objective's."""
        return self._of.shared_call

    def on(self, model: Model) -> AbstractObjective:
        """The same objective on another model of the same session."""
        moved = copy.copy(self)
        moved._of = self._of.on(model)
        moved._model = moved._of.model
        return moved

    def modules(self) -> tuple[nn.Module, ...]:
        """The torch modules that the inner objective calls."""
        return self._of.modules()

    def respond(self, stimuli: Tensor) -> Tensor:
        """What the inner objective reads of stimuli `(batch, channel, time, height, width)`."""
        return self._of.respond(stimuli)

    def window(self, frames: int) -> tuple[int, int] | None:
        """The inner objective's window."""
        return self._of.window(frames)

    def neurons(self) -> tuple[int, ...] | None:
        """The inner objective's neurons."""
        return self._of.neurons()

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """The inner objective's clusters."""
        return self._of.clusters(response)


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
        """The same sum on another model of the same session."""
        return WeightedSumObjective([(weight, term.on(model)) for weight, term in self._terms])

    def modules(self) -> tuple[nn.Module, ...]:
        """The torch modules that the terms call."""
        return tuple(module for _, term in self._terms for module in term.modules())

    @property
    def scores_responses(self) -> bool:
        """Whether all terms score the same response."""
        return all(term.scores_responses and term.shared_call == self.shared_call for _, term in self._terms)

    @property
    def shared_call(self) -> Hashable:
        """As the first term's."""
        return self._terms[0][1].shared_call

    def respond(self, stimuli: Tensor) -> Tensor:
        """What the first term reads of stimuli `(batch, channel, time, height, width)`."""
        return self._terms[0][1].respond(stimuli)

    def score(self, response: Tensor) -> Tensor:
        """Sum the terms' scores."""
        return torch.stack([weight * term.score(response) for weight, term in self._terms]).sum()

    def weights(self, frames: int) -> Weights | None:
        """The sum of the terms' weights, where all state some."""
        return summed(
            [linear and linear.times(w) for w, term in self._terms for linear in [term.stated_weights(frames)]]
        )

    def grouping(self) -> Hashable:
        """Sums of equally many terms are scored term by term."""
        return len(self._terms)

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Score the first terms of all runs, then the second ones, and sum them."""
        columns = [*zip(*([term for _, term in objective._terms] for objective in objectives), strict=True)]
        weights = responses.new_tensor([[weight for weight, _ in objective._terms] for objective in objectives])
        stacks = [Stack(column, responses) for column in columns]
        return lambda responses: (torch.stack([stack(responses) for stack in stacks], dim=1) * weights).sum(1)

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
