"""Find the video that a cell of a digital-twin retina likes best.

The names of the field's example notebook are importable from here. Each is imported when it is first used, so that the
command line need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_cli.artifacts.composition_axes import plot_stimulus_composition
    from openretina_cli.artifacts.player import play_stimulus
    from openretina_cli.models.load import load_ensemble_model_from_directory, load_ensemble_model_from_remote
    from openretina_cli.optimization.constraint import (
        ChangeNorm,
        ChangeNormJointlyClipRangeSeparately,
        ClipRange,
        Constraint,
        NormAndRange,
        TemporalGaussianLowPass,
    )
    from openretina_cli.optimization.loop import Outcome, Problem, optimize_stack, optimize_stimulus
    from openretina_cli.optimization.objective import (
        AbstractObjective,
        ContrastiveNeuronObjective,
        DecreaseObjective,
        IncreaseObjective,
        SparseObjective,
        WeightedSumObjective,
    )
    from openretina_cli.optimization.penalty import Penalty, RangePenalty
    from openretina_cli.optimization.reducer import MaxReducer, MeanReducer, ResponseReducer, SliceMeanReducer
    from openretina_cli.optimization.stopper import EarlyStopper, OptimizationStopper, Step

_HOMES = {
    "artifacts.composition_axes": ("plot_stimulus_composition",),
    "artifacts.player": ("play_stimulus",),
    "models.load": ("load_ensemble_model_from_directory", "load_ensemble_model_from_remote"),
    "optimization.constraint": (
        "ChangeNorm",
        "ChangeNormJointlyClipRangeSeparately",
        "ClipRange",
        "Constraint",
        "NormAndRange",
        "TemporalGaussianLowPass",
    ),
    "optimization.loop": ("Outcome", "Problem", "optimize_stack", "optimize_stimulus"),
    "optimization.objective": (
        "AbstractObjective",
        "ContrastiveNeuronObjective",
        "DecreaseObjective",
        "IncreaseObjective",
        "SparseObjective",
        "WeightedSumObjective",
    ),
    "optimization.penalty": ("Penalty", "RangePenalty"),
    "optimization.reducer": ("MaxReducer", "MeanReducer", "ResponseReducer", "SliceMeanReducer"),
    "optimization.stopper": ("EarlyStopper", "OptimizationStopper", "Step"),
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
    "IncreaseObjective",
    "MaxReducer",
    "MeanReducer",
    "NormAndRange",
    "OptimizationStopper",
    "Outcome",
    "Penalty",
    "Problem",
    "RangePenalty",
    "ResponseReducer",
    "SliceMeanReducer",
    "SparseObjective",
    "Step",
    "TemporalGaussianLowPass",
    "WeightedSumObjective",
    "load_ensemble_model_from_directory",
    "load_ensemble_model_from_remote",
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
