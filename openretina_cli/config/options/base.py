"""What all options have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


def required(example: str) -> Any:
    """A field that the user must set; the example goes into the error that says so."""
    return field(default=MISSING, metadata={"example": example})


@dataclass
class Option:
    """Base of all options."""

    kind: str = MISSING


@dataclass
class UserClass(Option):
    """A class of the user's, named by `_target_`; every other key is an argument of its constructor."""

    target: str = MISSING
    arguments: dict[str, Any] = field(default_factory=dict)
