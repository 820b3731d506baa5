"""Readouts from the settings and weights of a checkpoint.

Constraints on weights are applied here, once: they hold whatever was saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.readout import (
    ContrastReadout,
    LinearReadout,
    MaskReadout,
    PointReadout,
    Readout,
)
from openretina_cli.models.core_readout.settings import FileSettings
from openretina_cli.models.core_readout.weights import Weights
from openretina_cli.models.readout import gaussian_masks, mask_grid

NORM_EPSILON = 1e-5
"""Added to the sum of squares that a factorised readout divides its feature weights by."""
CONTRAST_EPSILON = 1e-8
"""Added to the sum of a spatial filter that a contrast readout divides by."""


@dataclass(frozen=True)
class Features:
    """What a readout sees.

    Attributes:
        channels: channels of the core's output.
        height: its rows.
        width: its columns.
    """

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Session:
    """One session of the state dict.

    Attributes:
        name: the session.
        neurons: number of its neurons.
        first: the first session of the model.
        centred: whether neurons are moved to the middle of the field.
    """

    name: str
    neurons: int
    first: str
    centred: bool

    @property
    def prefix(self) -> str:
        """What the names of its weights start with."""
        return f"readout.{self.name}"

    def refuse_centred(self, kind: str) -> None:
        """Refuse to move neurons whose readout has no Gaussian mask.

        Raises:
            ModelError: neurons are to be moved.
        """
        if self.centred:
            raise ModelError(
                f"model.center_readouts moves Gaussian masks, and {kind}",
                expected="a model with Gaussian-mask readouts",
                repair="model.center_readouts=false",
            )


def _bias(weights: Weights, name: str, neurons: int) -> Tensor:
    return weights.take(name, neurons) if name in weights else torch.zeros(neurons)


def read_gaussian_masks(settings: FileSettings, weights: Weights, session: Session, seen: Features) -> Readout:
    """Build one session of openretina's `MultiGaussianMaskReadout`.

    Args:
        settings: of the readout.
        weights: the state dict.
        session: which session.
        seen: what the core makes.

    Raises:
        ModelError: the settings or weights are of no known kind, or do not fit each other.
    """
    settings.ignore("scale", "bias", "mask_l1_reg", "feature_weights_l1_reg", "readout_reg_avg")
    neurons, prefix = session.neurons, session.prefix
    mean = weights.take(f"{prefix}.mask_mean", neurons, 2) * settings.number("gaussian_mean_scale")
    log_variance = weights.take(f"{prefix}.mask_log_var", neurons) * settings.number("gaussian_var_scale")
    features = weights.take(f"{prefix}.features", 1, seen.channels, 1, neurons)[0, :, 0]
    if settings.flag("positive"):
        features = features.clamp(min=0)
    if f"{prefix}.scale_param" in weights:  # saved, and multiplied with, where the setting `scale` is false as well
        features = features * weights.take(f"{prefix}.scale_param", neurons)
    if session.centred:
        mean = torch.zeros_like(mean)
    bias = _bias(weights, f"{prefix}.bias", neurons)  # added where the setting `bias` is false as well
    masks = gaussian_masks(mask_grid(seen.height, seen.width, 1), mean, log_variance)
    return MaskReadout(masks.movedim(0, -1), features, bias)


def read_factorised(settings: FileSettings, weights: Weights, session: Session, seen: Features) -> Readout:
    """Build one session of openretina's `MultiFactorizedReadout`; see `read_gaussian_masks`."""
    settings.ignore("mask_l1_reg", "weights_l1_reg", "laplace_mask_reg", "init_mask", "init_weights", "init_scales")
    settings.ignore("readout_reg_avg", "mask_size")
    session.refuse_centred("this model's factorised masks have a free form")
    neurons, prefix = session.neurons, session.prefix
    masks = weights.take(f"{prefix}.mask_weights", seen.height * seen.width, neurons)
    features = weights.take(f"{prefix}.feature_weights", seen.channels, neurons)
    bias = _bias(weights, f"{prefix}.bias", neurons)
    constraint = settings.choice("weights_constraint", (None, "abs", "norm", "absnorm"), None)
    if settings.choice("mask_constraint", (None, "abs"), None) == "abs":
        masks = masks.abs()
    if constraint in ("abs", "absnorm"):
        features = features.abs()
    if constraint in ("norm", "absnorm"):
        features = features / torch.sqrt(features.square().sum(0) + NORM_EPSILON)
    if not settings.flag("readout_bias", False):
        bias = torch.zeros_like(bias)
    return MaskReadout(masks.view(seen.height, seen.width, neurons), features, bias)


def _shared(
    settings: FileSettings, weights: Weights, name: str, index: str, session: Session, axis: int
) -> tuple[Tensor, int]:
    """Which of the positions or features each neuron uses, and how many of them there are."""
    if settings.value(name, None) is None:
        return torch.arange(session.neurons), session.neurons
    own = {"shared_grid": "_mu", "shared_features": "_features"}[name]
    shape = weights.shape(f"{session.prefix}.{own}")
    count = shape[axis] if len(shape) == 4 else 0
    return weights.index(f"{session.prefix}.{index}", session.neurons, count), count


def read_points(settings: FileSettings, weights: Weights, session: Session, seen: Features) -> Readout:
    """Build one session of openretina's `MultiSampledGaussianReadout`; see `read_gaussian_masks`.

    At evaluation the points are the means that were learnt; their spread does not matter.
    """
    settings.ignore("gamma", "init_mu_range", "init_sigma_range", "reg_avg", "readout_reg_avg", "batch_sample")
    settings.ignore("gauss_type", "init_grid", "bias")
    if settings.value("grid_mean_predictor", None) is not None:
        raise settings.refuse("grid_mean_predictor", "null, as positions predicted from others are not known here")
    session.refuse_centred("this model's neurons look at one point each")
    neurons, prefix = session.neurons, session.prefix
    whose, places = _shared(settings, weights, "shared_grid", "grid_sharing_index", session, 1)
    which, kinds = _shared(settings, weights, "shared_features", "feature_sharing_index", session, 3)
    points = weights.take(f"{prefix}._mu", 1, places, 1, 2)[0, :, 0][whose]
    features = weights.take(f"{prefix}._features", 1, seen.channels, 1, kinds)[0, :, 0][:, which]
    if settings.value("shared_features", None) is not None:
        features = features * weights.take(f"{prefix}.scales", 1, 1, 1, neurons).flatten()
    bias = _bias(weights, f"{prefix}.bias", neurons)
    return PointReadout(points.clamp(-1, 1), features, bias, settings.flag("align_corners", True))


NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    **{
        name: getattr(F, name)
        for name in ("softplus", "relu", "elu", "selu", "celu", "gelu", "silu", "leaky_relu", "sigmoid", "tanh")
    },
}
"""What a linear-nonlinear readout may name."""


def read_linear(settings: FileSettings, weights: Weights, session: Session, seen: Features) -> Readout:
    """Build one session of openretina's `MultipleLNPReadout`, or a clone of its first; see `read_gaussian_masks`."""
    settings.ignore("smooth_weight", "sparse_weight", "smooth_regularizer", "laplace_padding", "bias")
    settings.ignore("readout_reg_avg")
    session.refuse_centred("this model's kernels have a free form")
    neurons, prefix = session.neurons, session.prefix
    gain, offset = torch.ones(neurons), torch.zeros(neurons)
    if settings.flag("clone_readout", False) and session.name != session.first:
        gain, offset = weights.take(f"{prefix}.alpha", neurons), weights.take(f"{prefix}.beta", neurons)
        prefix = f"{prefix}._source"
    kernel = weights.take(f"{prefix}.inner_product_kernel.weight", neurons, seen.channels, 1, seen.height, seen.width)
    bias = _bias(weights, f"{prefix}.inner_product_kernel.bias", neurons)
    nonlinearity = NONLINEARITIES[settings.choice("nonlinearity", tuple(NONLINEARITIES), "exp")]
    return LinearReadout(kernel[:, :, 0], bias, nonlinearity, gain, offset)


def read_contrast(settings: FileSettings, weights: Weights, session: Session, seen: Features) -> Readout:
    """Build one session of openretina's `MultiSpatialContrastReadout`; see `read_gaussian_masks`.

    All that it needs is in the state dict, and the files that its filters once came from are not.
    """
    session.refuse_centred("this model's spatial filters have a free form")
    neurons, prefix = session.neurons, session.prefix
    if seen.channels != 1:
        raise ModelError(f"a spatial-contrast readout sees {seen.channels} channels", expected="1")
    spatial = weights.take(f"{prefix}.spatial_filters", neurons, seen.height, seen.width)
    shape = weights.shape(f"{prefix}.temporal_filters")
    temporal = weights.take(f"{prefix}.temporal_filters", neurons, *shape[1:2])
    sums = weights.take(f"{prefix}.sf_sums", neurons) + CONTRAST_EPSILON
    weights.drop(f"{prefix}.bias")  # saved, and not used
    nonlinearity = torch.stack([weights.take(f"{prefix}.nl_{name}", neurons) for name in "abc"])
    contrast = weights.take(f"{prefix}.w", neurons)
    return ContrastReadout(temporal, spatial / sums[:, None, None], contrast, nonlinearity)
