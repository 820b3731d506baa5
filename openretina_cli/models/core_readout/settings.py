"""Typed reading of one group of settings of a checkpoint; every refusal names the setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from openretina_cli.checks import closest
from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.config import members_of, plain_value
from openretina_cli.models.foreign_file import shown

_MISSING = object()


class FileSettings:
    """The settings of one part of the model.

    Args:
        entries: the settings by name, as the file holds them.
        where: the name of the part, for errors.
    """

    def __init__(self, entries: Mapping[str, Any], where: str) -> None:
        self._entries = entries
        self._where = where
        self._known: set[str] = set()

    def value(self, name: str, default: Any = _MISSING) -> Any:
        """The setting as plain data.

        Raises:
            ModelError: the setting is missing and has no default, or cannot be read.
        """
        self._known.add(name)
        value = plain_value(self._entries[name], f"{self._where}.{name}") if name in self._entries else default
        if value is _MISSING or (isinstance(value, str) and value == "???"):
            raise ModelError(f"the checkpoint lacks the setting {self._where}.{name}")
        return value

    def refuse(self, name: str, expected: str) -> ModelError:
        """The error for a setting that has another value than expected."""
        found = shown(repr(self.value(name, None)), 60)
        return ModelError(f"the setting {self._where}.{name} is {found}", expected=expected)

    def whole(self, name: str, default: Any = _MISSING, *, low: int = 0, high: int = 2**16) -> int:
        """A whole number between two bounds, both included."""
        value = self.value(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refuse(name, f"a whole number from {low} to {high}")
        return value

    def wholes(self, name: str, *, low: int = 1, high: int = 2**16) -> tuple[int, ...]:
        """A list of up to 64 whole numbers."""
        value = self.value(name)
        if not isinstance(value, list) or not 1 <= len(value) <= 64:
            raise self.refuse(name, "a list of whole numbers")
        if not all(type(number) is int and low <= number <= high for number in value):
            raise self.refuse(name, f"whole numbers from {low} to {high}")
        return tuple(value)

    def sizes(self, name: str, default: int, layers: int) -> tuple[int, ...]:
        """A whole number from 1 to 4096 for each layer, or for more; one number counts for all layers."""
        if type(self.value(name, default)) is int:
            return (self.whole(name, default, low=1, high=4096),) * layers
        sizes = self.wholes(name, high=4096)
        if len(sizes) < layers:
            raise self.refuse(name, f"at least one for each of the {layers} layers")
        return sizes

    def number(self, name: str, default: Any = _MISSING) -> float:
        """A finite number."""
        value = self.value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.refuse(name, "a number")
        return float(value)

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        """A truth value."""
        value = self.value(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false")
        return value

    def choice(self, name: str, options: Sequence[str | None], default: Any = _MISSING) -> Any:
        """One of a few values."""
        value = self.value(name, default)
        if not any(value == option and type(value) is type(option) for option in options):
            raise self.refuse(name, "one of " + ", ".join("null" if option is None else option for option in options))
        return value

    def part(self, name: str) -> FileSettings:
        """The settings below one of them."""
        self._known.add(name)
        entries = members_of(self._entries.get(name))
        if entries is None:
            raise ModelError(f"the checkpoint lacks the settings {self._where}.{name}")
        return FileSettings(entries, f"{self._where}.{name}")

    def ignore(self, *names: str) -> None:
        """Know settings that do not matter when a model is used."""
        self._known.update(names)

    def finish(self) -> None:
        """Refuse settings that were not read.

        Raises:
            ModelError: there is one.
        """
        for name in self._entries:
            if name not in self._known:
                problem = f"the setting {self._where}.{shown(str(name), 60)} is not known"
                near = closest(str(name)[:60], sorted(self._known))
                raise ModelError(problem, expected=near, repair="model=torch_module")
