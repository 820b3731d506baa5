"""Options of the config group `model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from openretina_cli.config.options.base import Option, required
from openretina_cli.config.values import neuron_list, positive, range_pairs, require
from openretina_cli.web_address import check_web_address


@dataclass
class StimulusFacts(Option):
    """Facts about the stimulus that a checkpoint leaves out."""

    channels: list[str] | None = None
    frame_rate: float | None = None
    pixel_size: float | None = None
    stimulus_range: Any = None
    note: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        positive("frame_rate", self.frame_rate)
        positive("pixel_size", self.pixel_size)
        self.stimulus_range = range_pairs("stimulus_range", self.stimulus_range)


@dataclass
class EnsembleOption(StimulusFacts):
    """What all ensembles in the published layout share."""

    members: list[int] | None = None
    center_readouts: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.members is not None:
            neuron_list("members", list(self.members))


@dataclass
class EnsembleDirectory(EnsembleOption):
    """A folder in the published layout."""

    path: str = required("FOLDER")


@dataclass
class EnsembleBundled(EnsembleOption):
    """An ensemble in the published layout that comes with the package."""

    name: str = MISSING


@dataclass
class EnsembleDownload(EnsembleOption):
    """An ensemble in the published layout on a server."""

    name: str = MISSING
    url: str = MISSING
    seeds: list[int] = MISSING

    def __post_init__(self) -> None:
        """Check the values; a password is refused here, before anything is recorded."""
        super().__post_init__()
        check_web_address(self.url, "model.url")


@dataclass
class TorchModule(StimulusFacts):
    """A module of the user's own."""

    module: Any = MISSING
    weights: str | None = None
    height: int = required("18")
    width: int = required("16")
    sessions: list[str] | None = None
    static: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        require(self.height >= 1, "height", self.height, "1 or more pixels")
        require(self.width >= 1, "width", self.width, "1 or more pixels")
        require(self.channels is not None, "channels", None, "channel names, such as [green,uv] or [grey]")
        target = isinstance(self.module, dict) and isinstance(self.module.get("_target_"), str)
        require(target, "module", self.module, "model.module._target_=my_package.MyRetina")
