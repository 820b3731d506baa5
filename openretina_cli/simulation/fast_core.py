"""A twin's core as it is run in training: the model's own modules and weights, computed in a faster order.

The kernels of the first layer are products of a temporal and a spatial part, so its convolution is two matrix products;
with full 11 x 11 x 21 kernels it takes ten times as many multiplications. The second layer may run in bfloat16, which
some processors multiply several times faster. Weights, gradients of weights and all results are float32, and nothing of
this is used once a twin is trained.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from openretina_cli.models.convolution import SeparableConvolution
from openretina_cli.models.twin import Core


def toeplitz(kernels: Tensor, size: int) -> Tensor:
    """Matrices `(n, outputs, size)` whose product with a trace is its valid convolution with kernels `(n, length)`."""
    length = kernels.shape[-1]
    lag = torch.arange(size)[None] - torch.arange(size - length + 1)[:, None]
    # one more tap, of weight zero, stands for everything that a kernel does not reach
    tap = torch.where((lag >= 0) & (lag < length), lag, length)
    return F.pad(kernels, (0, 1)).index_select(1, tap.flatten()).view(-1, *lag.shape)


def spatial_toeplitz(kernels: Tensor, height: int, width: int) -> Tensor:
    """The same over pixels: `(n, pixels, outputs)` from kernels `(n, size, size)`, valid on both sides."""
    size = kernels.shape[-1]
    dy = torch.arange(height)[:, None] - torch.arange(height - size + 1)
    dx = torch.arange(width)[:, None] - torch.arange(width - size + 1)
    inside = ((dy >= 0) & (dy < size))[:, None, :, None] & ((dx >= 0) & (dx < size))[None, :, None, :]
    tap = torch.where(inside, dy[:, None, :, None] * size + dx[None, :, None, :], size * size)
    padded = F.pad(kernels.flatten(1), (0, 1))
    return padded.index_select(1, tap.flatten()).view(len(kernels), height * width, -1)


def factored_convolution(convolution: SeparableConvolution, x: Tensor, session: str) -> Tensor:
    """What an unpadded convolution gives for `(batch, in, time, height, width)`, space first and time second."""
    batch, ins, frames, height, width = x.shape
    outs, _, _, size, _ = convolution.weight_spatial.shape
    space = spatial_toeplitz(convolution.weight_spatial.flatten(0, 2), height, width)  # (out * in, pixels, places)
    space = space.unflatten(0, (outs, ins)).permute(1, 2, 0, 3).flatten(2)  # type: ignore[no-untyped-call]
    seen = x.permute(1, 2, 0, 3, 4).reshape(ins, frames * batch, height * width) @ space
    seen = seen.view(ins, frames, batch, outs, -1).permute(3, 0, 1, 2, 4).reshape(outs, ins * frames, -1)
    time = toeplitz(convolution.temporal_kernel(session).flatten(0, 1), frames)  # (out * in, time', time)
    time = time.view(outs, ins, -1, frames).transpose(1, 2).flatten(2)
    result: Tensor = (time @ seen).view(outs, -1, batch, height - size + 1, width - size + 1)
    return result.permute(2, 0, 1, 3, 4)


def core_features(core: Core, stimulus: Tensor, session: str, bfloat16: bool) -> Tensor:
    """What `core(stimulus, session)` gives, but for rounding: `(batch, channel, time - 30, height, width)`."""
    first, *later = list(core.features)[: core.depth]
    convolution, *rest = first.children()
    # Sequential cannot say what it holds
    x = factored_convolution(cast(SeparableConvolution, convolution), stimulus, session)
    for module in rest:
        x = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        for layer in later:
            x = layer(x, session)
    return x.float()
