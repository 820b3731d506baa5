"""Sessions, neurons and cell types of a model, as settings choose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openretina_cli.checks import NeuronChoice, closest, neuron_choice
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import MeanResponseObjective, Model
from openretina_cli.reducer import ResponseReducer


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


class ChosenNeurons(MeanResponseObjective):
    """The mean response of the neurons that the settings choose; `sign` is that of the class mixed in.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        neuron: a neuron, several for one joint stimulus, or "all".
        group: a cell-type group instead of `neuron`.

    Raises:
        SettingError: the session has no such neuron or group.
    """

    of_one_cell = True

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
    ) -> None:
        if group is None:
            neurons = choose_neurons(facts, data_key, neuron_choice("neuron", neuron), "neuron")
        else:
            neurons = neurons_of_type(facts, data_key, group, "group")
        super().__init__(model, neurons, data_key, response_reducer)
