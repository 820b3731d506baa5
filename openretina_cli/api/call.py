"""From the arguments of a call to a command line and the objects in memory that it cannot name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.overrides import overrides_of
from openretina_cli.errors import SettingError

PLACES = ("out", "hydra.run.dir", "hydra.sweep.dir")
"""Settings that say where a run goes."""


@dataclass(frozen=True)
class Call:
    """What a caller asks for.

    Attributes:
        words: overrides and flags, as on the command line.
        given: objects in memory that take the place of options.
        stated: names of the settings among the words.
    """

    words: tuple[str, ...]
    given: Given
    stated: frozenset[str]

    @property
    def is_placed(self) -> bool:
        """Whether the caller says where the runs go."""
        return not self.stated.isdisjoint(PLACES)

    def with_words(self, **settings: Any) -> Call:
        """The same with further settings, where the caller does not state them."""
        added = {name: value for name, value in settings.items() if name not in self.stated}
        return Call((*self.words, *overrides_of(added, sweeps=False)), self.given, self.stated)


def _names(words: Sequence[str]) -> Iterator[str]:
    return (word.partition("=")[0].lstrip("+~") for word in words)


def _is_named(value: object) -> bool:
    """Whether a value can be typed, and is no object; of several names each is a run of a sweep."""
    settings = isinstance(value, Mapping) and "state_dict" not in value
    return settings or isinstance(value, (str, os.PathLike, list, tuple))


def read_call(words: Sequence[str], settings: Mapping[str, Any], sweeps: bool) -> Call:
    """Read the arguments of a call.

    Args:
        words: overrides and flags, as on the command line.
        settings: by name, as Python values; `model` and `objective` may be objects.
        sweeps: whether lists stand for several runs.

    Raises:
        SettingError: a value is nothing that a setting can have, or two arguments contradict each other.
        ModelError: an object is no model.
    """
    if wrong := next((word for word in words if not isinstance(word, str)), None):
        raise SettingError(f"{wrong!r:.80} is no text", expected='overrides such as "neuron=42", then name=value')
    plain = {name: value for name, value in settings.items() if value is not None or name not in ("model", "objective")}
    model, objective = (
        None if _is_named(plain.get(name)) else plain.pop(name, None) for name in ("model", "objective")
    )
    if isinstance(plain.get("model"), (str, os.PathLike)):
        from openretina_cli.models.published import model_settings  # reads the YAML of all models

        plain = {**model_settings(os.fspath(plain.pop("model"))), **plain}
    stated = [*_names(words), *_names(list(overrides_of(plain, sweeps)))]
    first, given = _given(model, objective, stated)
    chosen = {key: value for key, value in first.items() if key not in stated}
    typed = [*overrides_of(chosen, False), *words, *overrides_of(plain, sweeps)]  # of two with one key the later counts
    return Call(tuple(typed), given, frozenset(stated))


def _given(model: object, objective: Any, stated: Sequence[str]) -> tuple[dict[str, Any], Given]:
    """The settings that go with objects, and the objects."""
    settings: dict[str, Any] = {}
    given = NOTHING
    if objective is not None:
        from openretina_cli.objective.base import AbstractObjective  # torch, as objects of it are in memory
        from openretina_cli.objective.in_memory import node_of

        given |= Given({"objective": node_of(objective, stated)}, {"objective": {"made": objective}})
        if isinstance(objective, AbstractObjective):
            settings |= {} if objective.data_key is None else {"session": objective.data_key}
            model = objective.model if model is None and not _says_model(stated) else model
    if model is not None:
        from openretina_cli.models.in_memory import parts_of

        if "model" in stated:
            raise SettingError("model is both an object and a name", expected="one of them")
        chosen, nodes, objects = parts_of(model, stated)
        settings |= chosen
        given |= Given(nodes, {"model": objects})
    return settings, given


def _says_model(stated: Sequence[str]) -> bool:
    return any(name.split(".")[0] in ("model", "experiment") for name in stated)


@contextmanager
def explained() -> Iterator[None]:
    """Raise errors of Hydra's, YAML's and the machine's as the one line that the command prints.

    Raises:
        OpenRetinaError: what went wrong, and the override that repairs it.
    """
    from openretina_cli.config.errors import explain
    from openretina_cli.shortage import explain_shortage

    try:
        yield
    except Exception as error:
        if (problem := explain(error) or explain_shortage(error)) is None:
            raise
        raise problem from error


class Kept:
    """Owns a temporary folder: whoever holds this, keeps the folder."""


def temporary_folder(owner: Kept) -> Path:
    """A folder that is removed when its owner is gone."""
    path = Path(tempfile.mkdtemp(prefix="openretina-"))
    finalize(owner, shutil.rmtree, path, ignore_errors=True)
    return path
