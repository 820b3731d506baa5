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


def time_filters(basis: Tensor, span: Span) -> Tensor:
    """The matrices `(time', function, time)` that filter the traces of one span with all functions.

    Zeros in front of and behind a trace are left out of it.
    """
    functions, length = basis.shape
    outputs, taps = torch.arange(span.outputs)[:, None], torch.arange(length)
    seen = outputs + taps - span.before
    inside = (seen >= 0) & (seen < span.length)
    filters = basis.new_zeros(span.outputs, span.length, functions)
    filters[outputs.expand_as(seen)[inside], seen[inside]] = basis.T[taps.expand_as(seen)[inside]]
    return filters.transpose(1, 2).contiguous()


@dataclass(frozen=True, eq=False)
class SpatialKernels:
    """The spatial part of a convolution for fields of one size.

    Attributes:
        frequencies: those of the fields.
        analysis: matrices from fields to products of waves.
        synthesis: matrices from products of waves to fields.
        mixing: kernels `(frequency * member, function * in, 2 * out)`, real parts beside imaginary ones.
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
        mixing = kind.new_empty(len(parts), members, functions, ins, 2, outs)
        torch.mul(parts.view(-1, 2, *spatial.shape[:4]), weights, out=mixing.permute(0, 4, 1, 5, 3, 2))
        return cls(
            frequencies,
            [matrix.to(kind) for matrix in frequencies.analysis(rows.length, columns.length)],
            [matrix.to(kind) for matrix in frequencies.synthesis(rows.outputs, columns.outputs)],
            mixing.flatten(4).flatten(2, 3).flatten(0, 1),
        )


KernelCache = dict[tuple[int, Span, Span], SpatialKernels]
"""Kernels by convolution, rows and columns; windows and neurons of mask readouts share them."""


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
            seen = space.frequencies.combined(transformed(fields, *space.analysis))
            waves = space.frequencies.separated(step.mixed(step.filtered(seen)))
            result.copy_(transformed(waves, *space.synthesis).view_as(result))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the input: every step transposed, from the last to the first."""
        step: SpectralConvolution = ctx.step
        space, out = step.space, gradient.new_empty(ctx.shape)
        for fields, result in zip(gradient.contiguous(), out, strict=True):
            mixed = space.frequencies.combined(transformed(fields, *(matrix.T for matrix in space.synthesis)))
            waves = space.frequencies.separated(step.unfiltered(step.unmixed(mixed)))
            result.copy_(transformed(waves, *(matrix.T for matrix in space.analysis)).view_as(result))
        return out, None


class SpectralConvolution(nn.Module):
    """A convolution in time and space, with space as Fourier coefficients.

    Args:
        folded: the convolution.
        time: what it does in time.
        space: what it does in space.
        pixels: rows and columns of the result.

    Attributes:
        shape: of the result of one stimulus.
    """

    filters: Tensor

    def __init__(self, folded: FoldedConvolution, time: Span, space: SpatialKernels, pixels: tuple[int, int]) -> None:
        super().__init__()
        members, outs, self.ins, self.functions = folded.kernels.shape[:4]
        self.shape = (pixels[1], pixels[0], members, time.outputs, outs)
        self.space = space
        self.few = self.ins < FEW
        self.register_buffer("filters", time_filters(folded.basis, time).flatten(0, 1))

    def filtered(self, seen: Tensor) -> Tensor:
        """Filter coefficients `(frequency, 2, member * time * in)`: `(frequency * 2 * member, time', function * in)`.

        Of few channels, the input has time last.
        """
        outputs, frames = self.shape[3], self.filters.shape[1]
        if not self.few:
            traces = seen.view(-1, frames, self.ins)
            return torch.bmm(self.filters.expand(len(traces), -1, -1), traces).view(len(traces), outputs, -1)
        made = (seen.view(-1, frames) @ self.filters.T).view(-1, self.ins, outputs, self.functions)
        return made.permute(0, 2, 3, 1).flatten(2)

    def unfiltered(self, filtered: Tensor) -> Tensor:
        """The transpose of `filtered`."""
        if not self.few:
            filters = self.filters.T.expand(len(filtered), -1, -1)
            seen = torch.bmm(filters, filtered.view(len(filtered), -1, self.ins))
        else:
            made = filtered.view(*filtered.shape[:2], self.functions, self.ins).permute(0, 3, 1, 2)
            seen = made.reshape(-1, len(self.filters)) @ self.filters
        return seen.view(self.space.frequencies.count, 2, -1)

    def mixed(self, filtered: Tensor) -> Tensor:
        """Multiply with the kernels: `(frequency, 2, member * time' * out)`.

        The parts of a complex number are rows of one product, so that kernels are read once and held once.
        """
        _, _, members, time, outs = self.shape
        rows = filtered.view(-1, 2, members, *filtered.shape[1:]).transpose(1, 2)
        products = torch.bmm(rows.reshape(len(self.space.mixing), 2 * time, -1), self.space.mixing)
        (real, imaginary), (other_real, other_imaginary) = (
            part.unbind(3) for part in products.view(-1, members, 2, time, 2, outs).unbind(2)
        )
        made = filtered.new_empty(len(real), 2, members, time, outs)
        torch.sub(real, other_imaginary, out=made[:, 0])
        torch.add(imaginary, other_real, out=made[:, 1])
        return made.flatten(2)

    def unmixed(self, mixed: Tensor) -> Tensor:
        """The transpose of `mixed`."""
        _, _, members, time, outs = self.shape
        real, imaginary = mixed.view(-1, 2, members, time, outs).unbind(1)
        parts = mixed.new_empty(len(real), members, 2, time, 2, outs)
        parts[:, :, 0, :, 0], parts[:, :, 0, :, 1] = real, imaginary
        parts[:, :, 1, :, 0] = imaginary
        torch.neg(real, out=parts[:, :, 1, :, 1])
        products = torch.bmm(parts.view(-1, 2 * time, 2 * outs), self.space.mixing.mT)
        by_part = products.view(-1, members, 2, time, products.shape[2]).transpose(1, 2)
        return by_part.reshape(-1, time, products.shape[2])

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features."""
        seen = x.transpose(-1, -2) if self.few else x
        y: Tensor = _Filter.apply(seen.contiguous(), self)  # type: ignore[no-untyped-call]
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
        matrix = torch.einsum("moif,sft->mtiso", folded.kernels[..., 0, 0], time_filters(folded.basis, time))
        self.register_buffer("matrix", matrix.flatten(3).flatten(1, 2).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Filter features."""
        y = torch.matmul(x.flatten(4)[..., None, :], self.matrix)[..., 0, :]
        left, right, top, bottom = self.border
        y = F.pad(y, (0, 0, 0, 0, top, bottom, left, right)) if any(self.border) else y
        return y.view(*y.shape[:4], self.frames, -1)
