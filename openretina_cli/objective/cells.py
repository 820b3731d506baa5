"""Sessions, neurons and cell types of a model, as settings choose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from openretina_cli.checks import NeuronChoice, closest, neuron_choice, require
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import MeanResponseObjective, Model, ReducedObjective, named
from openretina_cli.objective.stack import Means
from openretina_cli.reducer import ResponseReducer

MOST_NAMED = 20
"""Neurons of several types that are listed; more are counted, so that a name fits a title."""


def choose_session(facts: ModelFacts, session: str | None) -> str:
    """The session that is meant; None means the checkpoint's first.

    Raises:
        SettingError: the model has no such session.
    """
    if session is None:
        return next(iter(facts.sessions))
    if session not in facts.sessions:
        raise SettingError(f"session={session} is not in {facts.name}", expected=closest(session, facts.sessions))
    return session


def choose_neurons(facts: ModelFacts, session: str, neuron: NeuronChoice | Sequence[int], name: str) -> list[int]:
    """The neurons that are meant.

    Raises:
        SettingError: the session has no such neuron, or none of the quality that is asked for.
    """
    count = facts.sessions[session]
    if isinstance(neuron, str):
        return list(facts.neurons_of(session))
    chosen = [neuron] if isinstance(neuron, int) else list(neuron)
    for index in chosen:
        if not 0 <= index < count:
            raise SettingError(
                f"{name}={index} is not in session {session}, which has {count} neurons", expected=f"0 to {count - 1}"
            )
    return chosen


def cell_types(facts: ModelFacts, session: str) -> dict[int, list[int]]:
    """The neurons of each cell-type group of a session.

    Raises:
        SettingError: the checkpoint has no cell types for it.
    """
    if session not in facts.groups:
        raise SettingError(f"{facts.name} has no cell types for session {session}", repair="neurons by their numbers")
    types: dict[int, list[int]] = {}
    for neuron, group in enumerate(facts.groups[session]):
        types.setdefault(group, []).append(neuron)
    return dict(sorted(types.items()))


def neurons_of_type(facts: ModelFacts, session: str, group: int, name: str) -> list[int]:
    """The neurons of one cell-type group.

    Raises:
        SettingError: the session has no such group.
    """
    types = cell_types(facts, session)
    if group not in types:
        known = ", ".join(f"{number} ({facts.group_names.get(number, 'unnamed')})" for number in types)
        raise SettingError(f"{name}={group} is not in session {session}", expected=f"one of {known}")
    return types[group]


def neurons_meant(facts: ModelFacts, session: str, neuron: object, group: int | None, prefix: str = "") -> list[int]:
    """The neurons of the settings `neuron` and `group`, of which the group counts where both are stated.

    Args:
        facts: what is known about the model.
        session: the session.
        neuron: a neuron, several, a span, or "all".
        group: a cell-type group.
        prefix: what the names of the two settings begin with, for errors.

    Raises:
        SettingError: the session has no such neuron or group.
    """
    if group is not None:
        return neurons_of_type(facts, session, group, f"{prefix}group")
    name = f"{prefix}neuron"
    return choose_neurons(facts, session, neuron_choice(name, neuron), name)


def cluster_name(facts: ModelFacts, session: str, neurons: Sequence[int]) -> str:
    """What neurons are called: their cell type where they share one, and a neuron alone by its number, too."""
    groups = facts.groups.get(session, ())
    types = {groups[neuron] for neuron in neurons} if groups else set()
    number = types.pop() if len(types) == 1 else None
    label = "" if number is None else f"{facts.group_names.get(number, 'unnamed')} ({number})"
    if len(neurons) == 1:
        return f"{label}, {named(neurons)}" if label else named(neurons)
    return label or (named(neurons) if len(neurons) <= MOST_NAMED else f"{len(neurons)} neurons")


class ChosenNeurons(MeanResponseObjective):
    """The mean response of the neurons that the settings choose; `sign` is that of the class mixed in.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        neuron: a neuron, several for one joint stimulus, or "all".
        group: a cell-type group instead of `neuron`.

    Attributes:
        joint: whether a single neuron is refused.

    Raises:
        SettingError: the session has no such neuron or group, or one neuron is chosen where several are meant.
    """

    of_one_cell = True
    joint: ClassVar[bool] = False

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
    ) -> None:
        expected = "several neurons, such as neuron=[1,5,9], or a cell type, such as group=28"
        require(not (self.joint and group is None and isinstance(neuron, int)), "neuron", neuron, expected)
        super().__init__(model, neurons_meant(facts, data_key, neuron, group), data_key, response_reducer)
        if group is not None:
            self._name = f"{cluster_name(facts, data_key, self._neuron_indices)}, {self._name}"


class ChosenPair(ReducedObjective):
    """Base of comparisons: the neurons that the settings choose, and others of the same session.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        neuron: a neuron, several, or "all".
        group: a cell-type group instead of `neuron`.
        other_neuron: the neuron, or neurons, to compare with.
        other_group: a cell-type group instead of `other_neuron`.

    Raises:
        SettingError: the session has no such neuron or group, or nothing to compare with is stated.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
        other_neuron: Any = None,
        other_group: int | None = None,
    ) -> None:
        stated = other_neuron is not None or other_group is not None
        require(stated, "other_neuron", other_neuron, "neurons to compare with, or objective.other_group=28")
        super().__init__(model, data_key, response_reducer)
        self._ones = neurons_meant(facts, data_key, neuron, group)
        self._others = neurons_meant(facts, data_key, other_neuron, other_group, "other_")

    def reduced(self, response: Tensor) -> tuple[Tensor, Tensor]:
        """The reduced mean responses of both, from the response `(time, neuron)`."""
        both = torch.stack([response[:, some].mean(dim=-1) for some in (self._ones, self._others)], dim=-1)
        one, other = self._response_reducer.forward(both).unbind()
        return one, other

    def clusters(self, response: Tensor) -> tuple[tuple[int, ...], ...]:
        """Both."""
        del response
        return tuple(self._ones), tuple(self._others)

    @staticmethod
    def pairs(objectives: Sequence[Any], responses: Tensor) -> Means:
        """What reduces both of all runs at once, to `(run, 2)`."""
        pairs = [(objective._ones, objective._others) for objective in objectives]
        return Means(pairs, objectives[0]._response_reducer, responses)

    def neurons(self) -> tuple[int, ...]:
        """All neurons that are compared."""
        return tuple(dict.fromkeys([*self._ones, *self._others]))
