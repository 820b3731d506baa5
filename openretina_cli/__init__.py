"""Find the video that a cell of a digital-twin retina likes best.

`optimize` and `optimize_many` are the command in one call. The names of the field's example notebook are here as well.
Each is imported when it is first used, so that the command line need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_cli.api.many import OptimizedMany, optimize_many
    from openretina_cli.api.optimize import optimize
    from openretina_cli.api.optimized import Optimized
    from openretina_cli.constraint.base import Constraint
    from openretina_cli.constraint.norm import ChangeNorm
    from openretina_cli.constraint.norm_and_range import NormAndRange
    from openretina_cli.constraint.norm_then_range import ChangeNormJointlyClipRangeSeparately
    from openretina_cli.constraint.range import ClipRange
    from openretina_cli.constraint.temporal_lowpass import TemporalGaussianLowPass
    from openretina_cli.gradient.base import GradientStep
    from openretina_cli.loop.loop import Outcome, Problem, optimize_stack, optimize_stimulus
    from openretina_cli.models.load import load_ensemble_model_from_directory, load_ensemble_model_from_remote
    from openretina_cli.models.retina import Retina
    from openretina_cli.objective.base import AbstractObjective, WeightedSumObjective
    from openretina_cli.objective.discriminative import ContrastiveNeuronObjective
    from openretina_cli.objective.mdi import DecreaseObjective
    from openretina_cli.objective.mei import IncreaseObjective
    from openretina_cli.objective.sparse import SparseObjective
    from openretina_cli.output.composition.stimulus_panels import plot_stimulus_composition
    from openretina_cli.output.film.player import play_stimulus
    from openretina_cli.penalty import Penalty, RangePenalty
    from openretina_cli.reducer import MaxReducer, MeanReducer, ResponseReducer, SliceMeanReducer
    from openretina_cli.stimulus.base import Parameters
    from openretina_cli.stopper import EarlyStopper, OptimizationStopper, Step

_HOMES = {
    "api.many": ("OptimizedMany", "optimize_many"),
    "api.optimize": ("optimize",),
    "api.optimized": ("Optimized",),
    "output.composition.stimulus_panels": ("plot_stimulus_composition",),
    "output.film.player": ("play_stimulus",),
    "constraint.base": ("Constraint",),
    "constraint.norm": ("ChangeNorm",),
    "constraint.norm_and_range": ("NormAndRange",),
    "constraint.norm_then_range": ("ChangeNormJointlyClipRangeSeparately",),
    "constraint.range": ("ClipRange",),
    "constraint.temporal_lowpass": ("TemporalGaussianLowPass",),
    "gradient.base": ("GradientStep",),
    "loop.loop": ("Outcome", "Problem", "optimize_stack", "optimize_stimulus"),
    "models.load": ("load_ensemble_model_from_directory", "load_ensemble_model_from_remote"),
    "models.retina": ("Retina",),
    "objective.base": ("AbstractObjective", "WeightedSumObjective"),
    "objective.discriminative": ("ContrastiveNeuronObjective",),
    "objective.mdi": ("DecreaseObjective",),
    "objective.mei": ("IncreaseObjective",),
    "objective.sparse": ("SparseObjective",),
    "penalty": ("Penalty", "RangePenalty"),
    "reducer": ("MaxReducer", "MeanReducer", "ResponseReducer", "SliceMeanReducer"),
    "stimulus.base": ("Parameters",),
    "stopper": ("EarlyStopper", "OptimizationStopper", "Step"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AbstractObjective",
    "ChangeNorm",
    "ChangeNormJointlyClipRangeSeparately",
    "ClipRange",
    "Constraint",
    "ContrastiveNeuronObjective",
    "DecreaseObjective",
    "EarlyStopper",
    "GradientStep",
    "IncreaseObjective",
    "MaxReducer",
    "MeanReducer",
    "NormAndRange",
    "OptimizationStopper",
    "Optimized",
    "OptimizedMany",
    "Outcome",
    "Parameters",
    "Penalty",
    "Problem",
    "RangePenalty",
    "ResponseReducer",
    "Retina",
    "SliceMeanReducer",
    "SparseObjective",
    "Step",
    "TemporalGaussianLowPass",
    "WeightedSumObjective",
    "load_ensemble_model_from_directory",
    "load_ensemble_model_from_remote",
    "optimize",
    "optimize_many",
    "optimize_stack",
    "optimize_stimulus",
    "play_stimulus",
    "plot_stimulus_composition",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
