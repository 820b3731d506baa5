"""The convolutions of the fast form, on features `(batch, width, height, member, time, channel)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.core_readout.fast_range import Span
from openretina_cli.models.core_readout.fast_spectrum import Frequencies, transformed

FEW = 4
"""Below this number of channels a product of matrices for each frequency takes longer than one for all of them."""


@dataclass(frozen=True)
class FoldedConvolution:
    """One convolution of all members: a sum of a few temporal functions, each with a spatial kernel per channel pair.

    Attributes:
        kernels: `(member, out, in, function, rows, columns)`.
        basis: the functions, `(function, length)`.
        before: zeros in front, in time, height and width.
        after: zeros behind.
        factors: where every kernel is a spatial one times a weight, those: `(member, out, in, rows, columns)` and
            `(member, out, in, function)`.
    """

    kernels: Tensor
    basis: Tensor
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    factors: tuple[Tensor, Tensor] | None = None

    @property
    def few(self) -> bool:
        """Whether there are few channels, as in stimuli."""
        return self.kernels.shape[2] < FEW

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Lengths of the kernel in time, height and width."""
        return self.basis.shape[1], self.kernels.shape[4], self.kernels.shape[5]

    def output(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The lengths that it makes of some lengths."""
        lengths = zip(shape, self.sizes, self.before, self.after, strict=True)
        time, height, width = (n + first + last - size + 1 for n, size, first, last in lengths)
        return time, height, width

    def operations(self, shape: tuple[int, int, int]) -> int:
        """Multiplications of a `SpectralConvolution` of fields of some lengths, in both directions of Fourier."""
        members, outs, ins, functions = self.kernels.shape[:4]
        (frames, height, width), (time, rows, columns) = shape, self.output(shape)
        high, wide = (n + max(b, a) for n, b, a in zip(shape[1:], self.before[1:], self.after[1:], strict=True))
        transforms = ins * frames * width * high * (height + wide) + outs * time * columns * high * (rows + wide)
        mixing = high * wide * functions * time * ins * (frames + 2 * outs)
        return members * (transforms + mixing)

    def of_one_input(self) -> FoldedConvolution:
        """The first convolutions of all members as one, since all members see the same stimulus."""
        factors = self.factors and (self.factors[0].flatten(0, 1)[None], self.factors[1].flatten(0, 1)[None])
        return replace(self, kernels=self.kernels.flatten(0, 1)[None], factors=factors)


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
        """Convolve fields `(batch, width, height, ...)` as `step` takes them."""
        ctx.step, ctx.shape = step, x.shape
        space, out = step.space, x.new_empty(len(x), *step.shape)
        for fields, result in zip(x, out, strict=True):
            waves = transformed(fields, *space.analysis)
            mixed = step.mixed(space.frequencies.combined(waves.view(*waves.shape[:2], *step.seen)))
            waves = space.frequencies.separated(mixed.view(space.frequencies.count, -1, 2, step.shape[-1]))
            result.copy_(transformed(waves, *space.synthesis).view_as(result))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the input: every step transposed, from the last to the first."""
        step: SpectralConvolution = ctx.step
        space, out = step.space, gradient.new_empty(ctx.shape)
        for fields, result in zip(gradient.contiguous(), out, strict=True):
            waves = transformed(fields, *(matrix.T for matrix in space.synthesis))
            mixed = space.frequencies.combined(waves.flatten(2, 3))
            seen = step.unmixed(mixed.view(len(space.mixing), step.shape[3], -1))
            waves = space.frequencies.separated(seen.view(space.frequencies.count, step.seen[0], 2, step.seen[1]))
            result.copy_(transformed(waves, *(matrix.T for matrix in space.analysis)).view_as(result))
        return out, None


@dataclass(frozen=True, eq=False)
class SpatialKernels:
    """The spatial part of a convolution for fields of one size.

    Attributes:
        frequencies: those of the fields.
        analysis: matrices from fields to products of waves.
        synthesis: matrices from products of waves to fields.
        mixing: matrices `(frequency * member, inputs, 2 * out)` that multiply complex numbers; the inputs are
            `function * 2 * in` or, of a convolution of few channels, `2 * in * function`.
    """

    frequencies: Frequencies
    analysis: Sequence[Tensor]
    synthesis: Sequence[Tensor]
    mixing: Tensor

    @classmethod
    def of(cls, folded: FoldedConvolution, rows: Span, columns: Span) -> SpatialKernels:
        """The kernels of a convolution of some rows and columns."""
        frequencies, kind = Frequencies(rows.period, columns.period), folded.kernels
        members, outs, ins, functions = kind.shape[:4]
        if folded.factors is None:
            spatial, weights = kind, kind.new_ones(())
        else:
            spatial, weights = folded.factors[0][:, :, :, None], folded.factors[1]
        parts = frequencies.of_kernels(spatial.flatten(0, 3), (rows.before, columns.before))
        real, imaginary = parts.view(-1, 2, members, outs, ins, spatial.shape[3]).unbind(1)
        if folded.few:
            mixing = kind.new_empty(len(real), members, 2, ins, functions, 2, outs)
            by_part = mixing.permute(2, 5, 0, 1, 6, 3, 4)
        else:
            mixing = kind.new_empty(len(real), members, functions, 2, ins, 2, outs)
            by_part = mixing.permute(3, 5, 0, 1, 6, 4, 2)
        by_part[0, 0] = by_part[1, 1] = real * weights
        by_part[0, 1] = imaginary * weights
        torch.neg(by_part[0, 1], out=by_part[1, 0])
        return cls(
            frequencies,
            [matrix.to(kind) for matrix in frequencies.analysis(rows.length, columns.length)],
            [matrix.to(kind) for matrix in frequencies.synthesis(rows.outputs, columns.outputs)],
            mixing.view(len(real) * members, -1, 2 * outs),
        )


KernelCache = dict[tuple[int, Span, Span], SpatialKernels]
"""Kernels by convolution, rows and columns; windows and neurons of mask readouts share them."""


class SpectralConvolution(nn.Module):
    """A convolution in time and space, with space as Fourier coefficients.

    Args:
        folded: the convolution.
        time: what it does in time.
        space: what it does in space.
        pixels: rows and columns of the result.

    Attributes:
        seen: groups and numbers of coefficients that one frequency is seen as.
        shape: of the result of one stimulus.
    """

    time: Tensor

    def __init__(self, folded: FoldedConvolution, time: Span, space: SpatialKernels, pixels: tuple[int, int]) -> None:
        super().__init__()
        members, outs, ins, functions = folded.kernels.shape[:4]
        self.seen = (members * time.length, ins)
        self.shape = (pixels[1], pixels[0], members, time.outputs, outs)
        self.space = space
        matrix = time_matrix(folded.basis, time).view(time.length, functions, time.outputs)
        self.register_buffer("time", matrix.permute(2, 1, 0).flatten(0, 1).contiguous())

    def mixed(self, seen: Tensor) -> Tensor:
        """Filter coefficients `(frequency, member * time, 2, in)` to `(frequency * member, time', 2 * out)`."""
        mixing = self.space.mixing
        filters = self.time.expand(len(mixing), -1, -1)
        filtered = torch.bmm(filters, seen.view(len(mixing), self.time.shape[1], -1))
        return torch.bmm(filtered.view(len(mixing), -1, mixing.shape[1]), mixing)

    def unmixed(self, mixed: Tensor) -> Tensor:
        """The transpose of `mixed`."""
        filtered = torch.bmm(mixed, self.space.mixing.mT).view(len(mixed), len(self.time), -1)
        return torch.bmm(self.time.T.expand(len(mixed), -1, -1), filtered)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features."""
        y: Tensor = _Filter.apply(x.contiguous(), self)  # type: ignore[no-untyped-call]
        return y


class FewInputs(SpectralConvolution):
    """The same for few channels: time is filtered for all frequencies at once."""

    def __init__(self, folded: FoldedConvolution, time: Span, space: SpatialKernels, pixels: tuple[int, int]) -> None:
        super().__init__(folded, time, space, pixels)
        members, ins = folded.kernels.shape[0], folded.kernels.shape[2]
        self.seen = (members, ins * time.length)
        self.register_buffer("time", time_matrix(folded.basis, time))

    def mixed(self, seen: Tensor) -> Tensor:
        """Filter coefficients `(frequency, member, 2, in * time)` to `(frequency * member, time', 2 * out)`."""
        mixing = self.space.mixing
        filtered = (seen.view(-1, len(self.time)) @ self.time).view(len(mixing), mixing.shape[1], -1)
        return torch.bmm(filtered.mT, mixing)

    def unmixed(self, mixed: Tensor) -> Tensor:
        """The transpose of `mixed`."""
        filtered = torch.bmm(self.space.mixing, mixed.mT)
        return filtered.view(-1, self.time.shape[1]) @ self.time.T

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features."""
        return super().forward(x.transpose(-1, -2))


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
        matrix = torch.einsum("moif,tfs->mtiso", folded.kernels[..., 0, 0], traces)
        self.register_buffer("matrix", matrix.flatten(3).flatten(1, 2).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Filter features."""
        y = torch.matmul(x.flatten(4)[..., None, :], self.matrix)[..., 0, :]
        left, right, top, bottom = self.border
        y = F.pad(y, (0, 0, 0, 0, top, bottom, left, right)) if any(self.border) else y
        return y.view(*y.shape[:4], self.frames, -1)
