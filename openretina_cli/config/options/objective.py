"""Options of the config groups `objective` and `reducer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from openretina_cli.config.options.base import Option, required
from openretina_cli.config.values import neuron_choice, neuron_list, positive, require


@dataclass
class Increase(Option):
    """Mean response of the neurons (MEI), or minus it (MDI)."""

    neuron: Any = MISSING
    group: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        self.neuron = neuron_choice("neuron", self.neuron)


@dataclass
class Group(Increase):
    """Joint stimulus of several neurons."""

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        several = self.group is not None or not isinstance(self.neuron, int)
        require(
            several, "neuron", self.neuron, "several neurons, such as neuron=[1,5,9], or a cell type, such as group=28"
        )


@dataclass
class Sparse(Option):
    """One strong neuron in a silent field."""


@dataclass
class Discriminative(Option):
    """One cluster of neurons against others."""

    on: list[int] = required("[0,1,2,3]")
    off: list[list[int]] | None = None
    temperature: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        positive("temperature", self.temperature)
        neuron_list("on", list(self.on))
        if self.off is not None:
            require(len(self.off) > 0, "off", list(self.off), "one or more clusters, such as [[4,5],[6]], or null")
            for cluster in self.off:
                neuron_list("off", list(cluster))


@dataclass
class WeightedSum(Option):
    """A weighted sum of objectives."""

    terms: dict[str, Any] = required("'{a:{weight:1,kind:mei,neuron:3},b:{weight:-0.1,kind:mei,neuron:[4,5]}}'")


@dataclass
class SliceMean(Option):
    """Mean over a window."""

    start: int = MISSING
    length: int = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.start >= 0, "start", self.start, "0 or more")
        require(self.length >= 1, "length", self.length, "1 or more")


@dataclass
class Mean(Option):
    """Mean over the whole response."""


@dataclass
class Max(Option):
    """Maximum over a window."""

    start: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.start >= 0, "start", self.start, "0 or more")
        require(self.length is None or self.length >= 1, "length", self.length, "1 or more, or null")
