"""Objectives that are Python objects: an objective, a class, or a function of the response."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import uuid4

from torch import Tensor

from openretina_cli.config.target import POSITIONAL, construct
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.objective.base import AbstractObjective, Model
from openretina_cli.reducer import ResponseReducer

CELLS = ("neuron", "group")
"""Settings of a run that a class or function gets where it takes an argument of that name."""


class FunctionObjective(AbstractObjective):
    """A function of the response of one run, larger is better.

    Args:
        model: see `AbstractObjective`, as the session.
        data_key: the session.
        function: takes the response `(time, neuron)`, a tensor, and returns a number.
        arguments: further arguments, passed by name.
    """

    def __init__(
        self, model: Model, data_key: str | None, function: Callable[..., Tensor], arguments: dict[str, Any]
    ) -> None:
        super().__init__(model, data_key)
        self._function, self._arguments = function, arguments

    def score(self, response: Tensor) -> Tensor:
        """What the function returns."""
        return self._function(response, **self._arguments)

    def __repr__(self) -> str:
        return _name(self._function)


def _name(made: object) -> str:
    made = getattr(made, "func", made)
    return str(getattr(made, "__qualname__", type(made).__qualname__))


def in_memory(
    model: Model,
    data_key: str,
    response_reducer: ResponseReducer,
    facts: ModelFacts,
    seed: int,
    of: str,
    token: str,
    neuron: Any = None,
    group: int | None = None,
    made: Any = None,
) -> AbstractObjective:
    """The objective of a run from the object that a caller holds.

    Args:
        model: see `AbstractObjective`.
        data_key: the session.
        response_reducer: the window of the settings.
        facts: of the model.
        seed: of the run.
        of: the object's class or name, for records.
        token: differs from call to call, as nothing tells whether an object of another process was the same.
        neuron: the setting, passed to a class or function that takes it.
        group: likewise.
        made: an objective, which is moved onto the run's model; a class of objectives, or a `functools.partial` of one;
            or a function `score(response)`. None in a record that is read again.

    Raises:
        SettingError: the objective is about another session, or a record names an object of another process.
        RunError: the class raised.
    """
    del token
    if made is None:
        raise SettingError(f"the objective was {of} in memory, which no record holds", repair="objective=NAME")
    if isinstance(made, AbstractObjective):
        if made.data_key not in (None, data_key):
            raise SettingError(f"session={data_key} is not that of the objective", repair=f"session={made.data_key}")
        return made.on(model)
    cells = {name: value for name, value in (("neuron", neuron), ("group", group)) if takes(made, name)}
    maker: Any = getattr(made, "func", made)
    if not inspect.isclass(maker):
        return FunctionObjective(model, data_key, made, cells)
    offered = {"model": model, "data_key": data_key, "response_reducer": response_reducer, "facts": facts, "seed": seed}
    named = {**cells, **getattr(made, "keywords", {}), POSITIONAL: list(getattr(made, "args", ()))}
    objective: AbstractObjective = cast("Any", construct)(maker, named, "objective.", offered)
    return objective


def takes(made: Any, name: str) -> bool:
    """Whether a class or function takes an argument of that name, and has not got it yet."""
    bound = made.keywords if isinstance(made, functools.partial) else {}
    return not isinstance(made, AbstractObjective) and name in inspect.signature(made).parameters and name not in bound


def node_of(made: Any, stated: Sequence[str]) -> dict[str, Any]:
    """What stands for an objective in memory in records.

    Args:
        made: see `in_memory`.
        stated: names of the settings that the caller states.

    Raises:
        SettingError: it is no objective, or settings of an objective are stated beside it.
    """
    if own := next((name for name in stated if name.split(".")[0] == "objective"), None):
        raise SettingError(f"{own} does not fit an objective in memory", repair="functools.partial(MyObjective, ...)")
    cls = getattr(made, "func", made)
    sound = issubclass(cls, AbstractObjective) if inspect.isclass(cls) else callable(made)
    if not sound and not isinstance(made, AbstractObjective):
        kind = _name(made) if inspect.isclass(cls) else f"a {type(made).__name__}"
        expected = "a name, an AbstractObjective, a class of them, or a function score(response)"
        raise SettingError(f"objective is {kind}", expected=expected)
    owner = made if isinstance(made, AbstractObjective) else cls
    kind = f"{getattr(owner, '__module__', type(owner).__module__)}.{_name(owner)}"
    cells = {name: f"${{{name}}}" for name in CELLS if takes(made, name)}
    return {"_target_": f"{__name__}.in_memory", "of": kind, "token": uuid4().hex, **cells}
