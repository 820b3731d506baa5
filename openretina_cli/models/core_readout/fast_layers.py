"""The steps of the fast form, on features `(batch, width, height, member, channel, time)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.core_readout.fast_range import Span
from openretina_cli.models.core_readout.fast_spectrum import Frequencies, transformed


@dataclass(frozen=True)
class FoldedConvolution:
    """One convolution of all members: a sum of a few temporal functions, each with a spatial kernel per channel pair.

    Attributes:
        kernels: `(member, out, in, function, rows, columns)`.
        basis: the functions, `(function, length)`.
        before: zeros in front, in time, height and width.
        after: zeros behind.
    """

    kernels: Tensor
    basis: Tensor
    before: tuple[int, int, int]
    after: tuple[int, int, int]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Lengths of the kernel in time, height and width."""
        return self.basis.shape[1], self.kernels.shape[4], self.kernels.shape[5]

    def output(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The lengths that it makes of some lengths."""
        lengths = zip(shape, self.sizes, self.before, self.after, strict=True)
        time, height, width = (n + first + last - size + 1 for n, size, first, last in lengths)
        return time, height, width

    def of_one_input(self) -> FoldedConvolution:
        """The first convolutions of all members as one, since all members see the same stimulus."""
        return replace(self, kernels=self.kernels.flatten(0, 1)[None])


def time_matrix(basis: Tensor, span: Span) -> Tensor:
    """The matrix `(time, function * time')` that filters the traces of one span with all functions.

    Zeros in front of and behind a trace are left out of it.
    """
    functions, length = basis.shape
    outputs, taps = torch.arange(span.outputs)[:, None], torch.arange(length)
    seen = outputs + taps - span.before
    inside = (seen >= 0) & (seen < span.length)
    matrix = basis.new_zeros(span.length, span.outputs, functions)
    matrix[seen[inside], outputs.expand_as(seen)[inside]] = basis.T[taps.expand_as(seen)[inside]]
    return matrix.transpose(1, 2).flatten(1).contiguous()


class _Filter(torch.autograd.Function):
    """Filters fields in time, and convolves them as Fourier coefficients.

    Written by hand so that nothing is kept for the way back, and one stimulus is in work at a time: what it needs on
    the way is up to ten times its own size. Only the gradient of the input exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: SpectralConvolution) -> Tensor:
        """Convolve `(batch, width, height, member, in, time)`."""
        ctx.step, ctx.shape = step, x.shape
        out = x.new_empty(len(x), step.width, step.height, step.members, step.outputs, step.frames)
        for fields, result in zip(x.contiguous(), out, strict=True):
            seen = step.frequencies.combined(transformed(fields, *step.analysis).flatten(3))
            filtered = seen.view(-1, step.time.shape[0]) @ step.time
            mixed = torch.bmm(step.mixing, filtered.view(len(step.mixing), step.mixing.shape[2], -1))
            mixed = mixed.view(step.frequencies.count, step.members, 2, -1)
            result.copy_(transformed(step.frequencies.separated(mixed), *step.synthesis).view_as(result))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the input: every step transposed, from the last to the first."""
        step: SpectralConvolution = ctx.step
        out = gradient.new_empty(ctx.shape)
        for fields, result in zip(gradient.contiguous(), out, strict=True):
            waves = transformed(fields, *(matrix.T for matrix in step.synthesis))
            mixed = step.frequencies.combined(waves.flatten(3))
            filtered = torch.bmm(step.mixing.mT, mixed.view(len(step.mixing), step.mixing.shape[1], -1))
            seen = filtered.view(-1, step.time.shape[1]) @ step.time.T
            seen = seen.view(step.frequencies.count, ctx.shape[3], 2, -1)
            waves = step.frequencies.separated(seen)
            result.copy_(transformed(waves, *(matrix.T for matrix in step.analysis)).view_as(result))
        return out, None


class SpectralConvolution(nn.Module):
    """A convolution in time and space, with space as Fourier coefficients.

    Args:
        folded: the convolution.
        spans: what it does in time, height and width.
    """

    mixing: Tensor
    time: Tensor

    def __init__(self, folded: FoldedConvolution, spans: tuple[Span, Span, Span]) -> None:
        super().__init__()
        time, rows, columns = spans
        self.members, self.outputs = folded.kernels.shape[:2]
        self.frames, self.height, self.width = (span.outputs for span in spans)
        self.frequencies = Frequencies(rows.period, columns.period)
        kind = folded.kernels
        self.analysis = [m.to(kind) for m in self.frequencies.analysis(rows.length, columns.length)]
        self.synthesis = [m.to(kind) for m in self.frequencies.synthesis(self.height, self.width)]
        self.register_buffer("time", time_matrix(folded.basis, time))
        self.register_buffer("mixing", self._mixing(folded.kernels, (rows.before, columns.before)))

    def _mixing(self, kernels: Tensor, before: tuple[int, int]) -> Tensor:
        """Matrices `(frequency * member, 2 * out, 2 * in * function)` that multiply complex numbers."""
        members, outs, ins, functions = kernels.shape[:4]
        parts = self.frequencies.of_kernels(kernels.flatten(0, 3), before)
        real, imaginary = parts.view(-1, 2, members, outs, ins * functions).unbind(1)
        mixing = kernels.new_empty(len(real), members, 2, outs, 2, ins * functions)
        mixing[:, :, 0, :, 0] = mixing[:, :, 1, :, 1] = real
        mixing[:, :, 1, :, 0] = imaginary
        torch.neg(imaginary, out=mixing[:, :, 0, :, 1])
        return mixing.view(len(real) * members, 2 * outs, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features."""
        y: Tensor = _Filter.apply(x, self)  # type: ignore[no-untyped-call]
        return y


class PointwiseConvolution(nn.Module):
    """A convolution in time alone, with a kernel of one pixel.

    Args:
        folded: the convolution.
        spans: what it does in time, height and width.
    """

    matrix: Tensor

    def __init__(self, folded: FoldedConvolution, spans: tuple[Span, Span, Span]) -> None:
        super().__init__()
        time, rows, columns = spans
        self.border = (columns.before, columns.after, rows.before, rows.after)
        self.frames = time.outputs
        traces = time_matrix(folded.basis, time).view(time.length, len(folded.basis), time.outputs)
        matrix = torch.einsum("moif,tfs->mitos", folded.kernels[..., 0, 0], traces)
        self.register_buffer("matrix", matrix.flatten(3).flatten(1, 2).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Filter features."""
        y = torch.matmul(x.flatten(4)[..., None, :], self.matrix)[..., 0, :]
        left, right, top, bottom = self.border
        y = F.pad(y, (0, 0, 0, 0, top, bottom, left, right)) if any(self.border) else y
        return y.view(*y.shape[:4], -1, self.frames)


class Offset(nn.Module):
    """Adds an offset per channel.

    Args:
        offset: `(member, channel)`.
    """

    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset[..., None])

    def forward(self, x: Tensor) -> Tensor:
        """Add the offsets, in place where nothing else holds the features."""
        return x.add_(self.offset)


class _LargestOfFour(torch.autograd.Function):
    """The largest of every two by two pixels, which keeps one byte per result for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Pool `(batch, width, height, ...)`; an odd last column or row is left out."""
        ctx.shape = x.shape
        width, height = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        quarters = [x[:, i:width:2, j:height:2] for i in range(2) for j in range(2)]
        largest, winner = quarters[0].clone(), torch.zeros(quarters[0].shape, dtype=torch.uint8, device=x.device)
        for number, quarter in enumerate(quarters[1:], 1):
            winner.masked_fill_(quarter > largest, number)
            torch.maximum(largest, quarter, out=largest)
        ctx.save_for_backward(winner)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Hand the gradient to the largest."""
        (winner,) = ctx.saved_tensors
        out = gradient.new_zeros(ctx.shape)
        width, height = ctx.shape[1] // 2 * 2, ctx.shape[2] // 2 * 2
        for number in range(4):
            torch.mul(gradient, winner == number, out=out[:, number // 2 : width : 2, number % 2 : height : 2])
        return out


class Pool(nn.Module):
    """Keeps the largest of every two by two pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool features."""
        y: Tensor = _LargestOfFour.apply(x)  # type: ignore[no-untyped-call]
        return y


class MaskedReadout(nn.Module):
    """Softplus of masked features, for the neurons asked for, averaged over members.

    Args:
        masks: `(member, width, height, neuron)`.
        weights: `(member, channel, neuron)`.
        bias: `(member, neuron)`.
    """

    masks: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, masks: Tensor, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks.flatten(1, 2).mT.contiguous())
        self.register_buffer("weights", weights.mT[:, :, :, None].contiguous())
        self.register_buffer("bias", bias[..., None])

    def forward(self, x: Tensor) -> Tensor:
        """Map features to responses `(batch, time, neuron)`."""
        members = x.flatten(1, 2).unbind(2)
        pooled = [
            torch.matmul(masks, seen.flatten(2)).view(len(seen), len(masks), *seen.shape[2:])
            for masks, seen in zip(self.masks, members, strict=True)
        ]
        drives = [(p * w).sum(2) + b for p, w, b in zip(pooled, self.weights, self.bias, strict=True)]
        return torch.stack([F.softplus(drive) for drive in drives]).mean(0).mT
