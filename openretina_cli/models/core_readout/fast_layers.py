"""The steps of the fast form, on features `(batch, width, height, member, time, channel)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from openretina_cli.models.core_readout.fast_range import Span, needed
from openretina_cli.models.core_readout.fast_spectrum import Frequencies, transformed
from openretina_cli.models.fast_layers import applied

Ranges = tuple[range, range, range]
"""Frames, rows and columns."""
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


class Offset(nn.Module):
    """Adds an offset per channel.

    Args:
        offset: `(member, channel)`.
    """

    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset[:, None])

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
        self.register_buffer("weights", weights.mT[:, :, None].contiguous())
        self.register_buffer("bias", bias[..., None])

    def forward(self, x: Tensor) -> Tensor:
        """Map features to responses `(batch, time, neuron)`."""
        members = x.flatten(1, 2).unbind(2)
        pooled = [
            torch.matmul(masks, seen.flatten(2)).view(len(seen), len(masks), *seen.shape[2:])
            for masks, seen in zip(self.masks, members, strict=True)
        ]
        drives = [(p * w).sum(-1) + b for p, w, b in zip(pooled, self.weights, self.bias, strict=True)]
        return torch.stack([F.softplus(drive) for drive in drives]).mean(0).mT


@dataclass(frozen=True)
class FoldedLayer:
    """One layer of all members.

    Attributes:
        convolutions: one after the other.
        offset: `(member, out)`.
        nonlinearity: applied to each element; None is the identity.
        pool: whether the largest of every two by two pixels is kept.
    """

    convolutions: Sequence[FoldedConvolution]
    offset: Tensor
    nonlinearity: nn.Module | None
    pool: bool

    def shapes(self, shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        """Lengths that the convolutions are given, and those of the result."""
        shapes = [shape]
        for convolution in self.convolutions:
            shapes.append(convolution.output(shapes[-1]))
        time, height, width = shapes[-1]
        return [*shapes[:-1], (time, height // 2, width // 2) if self.pool else (time, height, width)]

    def spans(self, outputs: Ranges, shapes: Sequence[tuple[int, int, int]]) -> tuple[list[tuple[Span, ...]], Ranges]:
        """What the convolutions must do for some outputs, and what of the layer's input that takes."""
        ranges = outputs
        if self.pool:
            ranges = (outputs[0], *(range(2 * pixels.start, 2 * pixels.stop) for pixels in outputs[1:]))  # type: ignore[assignment]
        spans: list[tuple[Span, ...]] = []
        for convolution, shape in zip(self.convolutions[::-1], shapes[-2::-1], strict=True):
            axes = zip(ranges, convolution.sizes, convolution.before, shape, strict=True)
            spans.insert(0, tuple(needed(*axis) for axis in axes))
            ranges = tuple(range(span.start, span.stop) for span in spans[0])  # type: ignore[assignment]
        return spans, ranges

    def modules(self, spans: Sequence[tuple[Span, ...]], old: KernelCache, new: KernelCache) -> list[nn.Module]:
        """The steps of the layer.

        Args:
            spans: what the convolutions do.
            old: spatial kernels that were made before.
            new: takes the spatial kernels that the steps use.
        """
        steps: list[nn.Module] = []
        for convolution, (time, rows, columns) in zip(self.convolutions, spans, strict=True):
            if convolution.sizes[1:] == (1, 1):
                steps.append(PointwiseConvolution(convolution, (time, rows, columns)))
                continue
            key = (id(convolution), rows.anywhere, columns.anywhere)
            new[key] = space = old.get(key) or SpatialKernels.of(convolution, rows, columns)
            kind = FewInputs if convolution.few else SpectralConvolution
            steps.append(kind(convolution, time, space, (rows.outputs, columns.outputs)))
        # the largest of some numbers stays the largest under what rises with it, and leaves a quarter of them
        if self.pool:
            steps.append(Pool())
        steps.append(Offset(self.offset))
        if self.nonlinearity is not None:
            steps.append(_Applied(self.nonlinearity))
        return steps


class _Applied(nn.Module):
    """A nonlinearity that may write over its input."""

    def __init__(self, nonlinearity: nn.Module) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to features."""
        return applied(self.nonlinearity, x)
