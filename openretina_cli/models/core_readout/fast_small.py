"""Fast forms of small fields: those of the published ensemble, whose steps are fewer and larger."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from openretina_cli.models import fast_layers
from openretina_cli.models.core_readout.core import Core
from openretina_cli.models.core_readout.fast_layers import FoldedLayer
from openretina_cli.models.fast import layers_of
from openretina_cli.models.fast_form import FastForm

WORTH = 1.5
"""Operations on small fields take that much longer one by one as parts of Fourier transforms."""
Shapes = Sequence[Sequence[tuple[int, int, int]]]


def _fits(layer: FoldedLayer) -> bool:
    """Whether a layer is one of the kind of the published ensemble."""
    if len(layer.convolutions) != 1 or layer.pool or layer.nonlinearity is None:
        return False
    (convolution,) = layer.convolutions
    frames, *pixels = convolution.before
    square = len({*pixels, *convolution.after[1:]}) == 1
    return convolution.factors is not None and square and frames == convolution.after[0] == 0


def _operations(layers: Sequence[FoldedLayer], shapes: Shapes) -> int:
    """Multiplications of the form for small fields: space first in the first layer, then time first."""
    total = 0
    for index, (layer, (given, made)) in enumerate(zip(layers, shapes, strict=True)):
        members, outs, ins, functions, size, _ = layer.convolutions[0].kernels.shape
        pixels, pairs = math.prod(made[1:]), members * outs * ins
        if index == 0:
            total += pairs * pixels * given[0] * (size**2 + made[0])
        else:
            total += pairs * pixels * made[0] * functions * size**2
    return total


def _folded(layer: FoldedLayer) -> fast_layers.FoldedLayer:
    (convolution,) = layer.convolutions
    spatial, weights = convolution.factors  # type: ignore[misc]  # which `_fits` asks for
    basis = convolution.basis.expand(len(spatial), -1, -1)
    nonlinearity: nn.Module = layer.nonlinearity  # type: ignore[assignment]  # which `_fits` asks for
    return fast_layers.FoldedLayer(spatial, weights, basis, layer.offset, convolution.before[1], nonlinearity)


def small_form(
    layers: Sequence[FoldedLayer], core: Core, readout: fast_layers.Readout, shapes: Shapes, window: tuple[int, int]
) -> FastForm | None:
    """The fast form for small fields, where the model is of the kind, and that takes fewer operations.

    Args:
        layers: the layers of all members.
        core: the core of any member.
        readout: of the neurons asked for.
        shapes: lengths that every convolution is given, by layer, and those of the layer's result.
        window: the response frames `[start, stop)` asked for.
    """
    if core.downsample is not None or core.squash is not None:
        return None
    if not layers or not all(_fits(layer) for layer in layers):
        return None
    spectral = sum(layer.convolutions[0].operations(given) for layer, (given, _) in zip(layers, shapes, strict=True))
    if _operations(layers, shapes) > WORTH * spectral:
        return None
    frames, height, width = shapes[0][0]
    lag = frames - shapes[-1][-1][0]
    seen = slice(core.cut + window[0], core.cut + window[1] + lag)
    made = layers_of([_folded(layer) for layer in layers], seen.stop - seen.start, (height, width))
    return FastForm(made, readout, frames, seen)
