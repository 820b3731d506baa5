"""The type of every setting, one class per option of a config group; the YAML in configs/ gives values and reasons.

An option's YAML names its class by `kind`. Field types are checked by OmegaConf, relations in `__post_init__`; the help
text of a setting is the comment beside it in the YAML.
"""

from __future__ import annotations

from openretina_cli.config.options.base import Option, UserClass
from openretina_cli.config.options.course import (
    Early,
    Fixed,
    Noise,
    Optimizer,
    Output,
)
from openretina_cli.config.options.model import (
    EnsembleBundled,
    EnsembleDirectory,
    EnsembleDownload,
    EnsembleOption,
    StimulusFacts,
    TorchModule,
)
from openretina_cli.config.options.objective import (
    Discriminative,
    Group,
    Increase,
    Max,
    Mean,
    SliceMean,
    Sparse,
    WeightedSum,
)
from openretina_cli.config.options.rules import (
    Norm,
    NormRange,
    NormThenRange,
    Range,
    RangePenaltyOption,
    TemporalLowPass,
)

__all__ = [
    "KINDS",
    "LISTS",
    "Discriminative",
    "Early",
    "EnsembleBundled",
    "EnsembleDirectory",
    "EnsembleDownload",
    "EnsembleOption",
    "Fixed",
    "Group",
    "Increase",
    "Max",
    "Mean",
    "Noise",
    "Norm",
    "NormRange",
    "NormThenRange",
    "Optimizer",
    "Option",
    "Output",
    "Range",
    "RangePenaltyOption",
    "SliceMean",
    "Sparse",
    "StimulusFacts",
    "TemporalLowPass",
    "TorchModule",
    "UserClass",
    "WeightedSum",
]

KINDS: dict[str, dict[str, type[Option]]] = {
    "model": {
        "ensemble_bundled": EnsembleBundled,
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
