"""The type of every setting, one class per option of a config group; the YAML in configs/ gives values and reasons.

An option's YAML names its class by `kind`. Field types are checked by OmegaConf, relations in `__post_init__`; the help
text of a setting is the comment beside it in the YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from openretina_cli.config.values import (
    neuron_choice,
    neuron_list,
    one_of,
    positive,
    range_pairs,
    require,
)


def _required(example: str) -> Any:
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


# --- models -----------------------------------------------------------------------------------------------------------


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

    path: str = _required("FOLDER")


@dataclass
class EnsembleDownload(EnsembleOption):
    """An ensemble in the published layout on a server."""

    name: str = MISSING
    url: str = MISSING
    seeds: list[int] = MISSING


@dataclass
class TorchModule(StimulusFacts):
    """A module of the user's own."""

    module: Any = MISSING
    weights: str | None = None
    height: int = _required("18")
    width: int = _required("16")
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


# --- objectives -------------------------------------------------------------------------------------------------------


@dataclass
class Increase(Option):
    """Mean response of the neurons (MEI), or minus it (MDI)."""

    neuron: Any = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        self.neuron = neuron_choice("neuron", self.neuron)


@dataclass
class Group(Increase):
    """Joint stimulus of several neurons."""

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        require(not isinstance(self.neuron, int), "neuron", self.neuron, "several neurons, such as neuron=[1,5,9]")


@dataclass
class Sparse(Option):
    """One strong neuron in a silent field."""


@dataclass
class Discriminative(Option):
    """One cluster of neurons against others."""

    on: list[int] = _required("[0,1,2,3]")
    off: list[list[int]] = _required("'[[4,5,6],[7,8]]'")
    temperature: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        positive("temperature", self.temperature)
        neuron_list("on", list(self.on))
        require(len(self.off) > 0, "off", list(self.off), "one or more clusters, such as [[4,5],[6]]")
        for cluster in self.off:
            neuron_list("off", list(cluster))


@dataclass
class WeightedSum(Option):
    """A weighted sum of objectives."""

    terms: dict[str, Any] = _required("'{a:{weight:1,kind:mei,neuron:3},b:{weight:-0.1,kind:mei,neuron:[4,5]}}'")


# --- reducers ---------------------------------------------------------------------------------------------------------


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


# --- constraints and penalties ----------------------------------------------------------------------------------------


@dataclass
class Range(Option):
    """Clip to a range."""

    range: Any = None

    def __post_init__(self) -> None:
        """Check the values."""
        self.range = range_pairs("range", self.range)


@dataclass
class NormThenRange(Range):
    """Scale to a norm, then clip."""

    norm: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)


@dataclass
class Norm(Option):
    """Scale to a norm."""

    norm: float = MISSING
    mode: str = "exactly"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("norm", self.norm)
        one_of("mode", self.mode, ("exactly", "at_most"))


@dataclass
class NormRange(Range):
    """Nearest stimulus with norm and range."""

    norm: float = MISSING
    mode: str = "exactly"

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)
        one_of("mode", self.mode, ("exactly", "at_most"))


@dataclass
class TemporalLowPass(Option):
    """Gaussian smoothing over time."""

    sigma: float = MISSING
    kernel_size: int = MISSING
    padding: str = "edge"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("sigma", self.sigma)
        require(self.kernel_size >= 1 and self.kernel_size % 2 == 1, "kernel_size", self.kernel_size, "an odd number")
        one_of("padding", self.padding, ("edge", "zeros"))


@dataclass
class RangePenaltyOption(Range):
    """Price for leaving the range or exceeding the norm."""

    norm: float | None = None
    factor: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        positive("norm", self.norm)
        positive("factor", self.factor)


# --- stoppers, start, output ------------------------------------------------------------------------------------------


@dataclass
class Fixed(Option):
    """A fixed number of iterations."""

    max_iterations: int = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.max_iterations >= 0, "max_iterations", self.max_iterations, "0 or more")


@dataclass
class Early(Fixed):
    """Stop on a plateau."""

    patience: int = MISSING
    min_delta: float = MISSING

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        require(self.patience >= 1, "patience", self.patience, "1 or more")
        require(self.min_delta >= 0, "min_delta", self.min_delta, "0 or more")


@dataclass
class Noise:
    """Gaussian noise."""

    frames: int = MISSING
    mean: float = MISSING
    std: float = MISSING
    norm: float = MISSING
    file: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.frames >= 1, "frames", self.frames, "1 or more")
        require(self.std >= 0, "std", self.std, "0 or more")
        positive("norm", self.norm)


@dataclass
class Output:
    """Which pictures are made."""

    video: bool = True
    figure: list[str] = field(default_factory=lambda: ["png"])
    video_scale: str = "symmetric"

    def __post_init__(self) -> None:
        """Check the values."""
        for name in self.figure:
            one_of("figure", name, ("png", "pdf", "svg"))
        one_of("video_scale", self.video_scale, ("symmetric", "joint"))


@dataclass
class Optimizer:
    """A `torch.optim` class and its arguments."""

    target: str
    arguments: dict[str, Any]


KINDS: dict[str, dict[str, type[Option]]] = {
    "model": {
        "ensemble_directory": EnsembleDirectory,
        "ensemble_download": EnsembleDownload,
        "torch_module": TorchModule,
    },
    "objective": {
        "mei": Increase,
        "mdi": Increase,
        "group_mei": Group,
        "sparse": Sparse,
        "discriminative": Discriminative,
        "weighted_sum": WeightedSum,
        "custom": UserClass,
    },
    "reducer": {"slice_mean": SliceMean, "mean": Mean, "max": Max, "custom": UserClass},
    "constraint": {
        "norm_then_range": NormThenRange,
        "range": Range,
        "norm": Norm,
        "norm_and_range": NormRange,
        "temporal_lowpass": TemporalLowPass,
        "custom": UserClass,
    },
    "penalty": {"range": RangePenaltyOption, "custom": UserClass},
    "stopper": {"fixed": Fixed, "early": Early, "custom": UserClass},
}
"""The class of every option, by group and `kind`."""

LISTS = ("constraint", "penalty")
"""Groups of which several options can be chosen; they are applied in the order chosen."""
