"""Options of the config group `model`."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    session_argument: str = "data_key"
    inputs: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    response_axes: list[str] | None = None
    response_stride: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        require(self.height >= 1, "height", self.height, "1 or more pixels")
        require(self.width >= 1, "width", self.width, "1 or more pixels")
        require(self.channels is not None, "channels", None, "channel names, such as [green,uv] or [grey]")
        target = isinstance(self.module, dict) and isinstance(self.module.get("_target_"), str)
        require(target, "module", self.module, "model.module._target_=my_package.MyRetina")
        require(self.session_argument.isidentifier(), "session_argument", self.session_argument, "a name")
        chosen = self.output is None or (isinstance(self.output, (int, str)) and not isinstance(self.output, bool))
        require(chosen, "output", self.output, "a position such as 0, or a key")
        axes = None if self.response_axes is None else sorted(self.response_axes)
        known = axes is None or axes in (["batch", "neuron", "time"], ["batch", "time"], ["batch", "neuron"])
        require(
            known, "response_axes", self.response_axes, "an order of [batch,time,neuron], of which one may be left out"
        )
        stride = self.response_stride
        require(stride is None or stride >= 1, "response_stride", stride, "1 or more stimulus frames")
