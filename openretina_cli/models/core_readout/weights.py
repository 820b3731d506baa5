"""The weights of a checkpoint, taken one by one, so that each is checked against what the settings call for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from openretina_cli.errors import ModelError
from openretina_cli.models.foreign_file import shown

NOT_USED = re.compile(
    r"(^|\.)(_?\w*regulari[sz]er\w*|_smooth_reg_fn\w*)\."  # constants of training penalties
    r"|(^|\.)(num_batches_tracked|sigma|grid)$"  # of training; what height and width give as well
    r"|(^|\.)log_speed_[^.]*$"  # per session, which the published model never uses
)
"""Entries of a state dict that do not shape the response."""


class Weights:
    """The state dict of a checkpoint.

    Args:
        entries: the weights by name, as the file holds them.

    Raises:
        ModelError: an entry is no tensor.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        for name, value in entries.items():
            if not isinstance(value, Tensor):
                raise ModelError(f"{shown(name)} in the state dict is no tensor", expected="a tensor")
        self._entries: dict[str, Tensor] = {name: value for name, value in entries.items() if not NOT_USED.search(name)}

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight.

        Raises:
            ModelError: the weight is missing.
        """
        if name not in self._entries:
            raise ModelError(f"the state dict lacks {shown(name)}")
        return tuple(self._entries[name].shape)

    def take(self, name: str, *shape: int) -> Tensor:
        """A weight in float32, which counts as used from now on.

        Raises:
            ModelError: the weight is missing, has another shape, or is not made of finite real numbers.
        """
        if (found := self.shape(name)) != shape:
            raise ModelError(f"{shown(name)} has shape {found}", expected=f"{shape}, as the settings say")
        weight = self._entries.pop(name)
        if weight.is_complex():
            raise ModelError(f"{shown(name)} has elements of type {weight.dtype}", expected="real numbers")
        weight = weight.float()
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"{shown(name)} holds NaN or infinity", expected="finite weights")
        return weight

    def index(self, name: str, count: int, limit: int) -> Tensor:
        """`count` whole numbers from 0 up to, but not including, `limit`.

        Raises:
            ModelError: the weight is missing, has another shape, or holds other numbers.
        """
        weight = self.take(name, count)
        if not bool(((weight >= 0) & (weight < limit) & (weight == weight.floor())).all()):
            raise ModelError(f"{shown(name)} is no index", expected=f"whole numbers from 0 to {limit - 1}")
        return weight.long()

    def drop(self, name: str) -> None:
        """Count a weight as used that does not matter."""
        self._entries.pop(name, None)

    def finish(self) -> None:
        """Refuse weights that were not taken.

        Raises:
            ModelError: there is one.
        """
        for name in self._entries:
            raise ModelError(
                f"the state dict holds {shown(name)}, which the settings do not account for",
                repair="model=torch_module",
            )
