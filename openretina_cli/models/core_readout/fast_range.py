"""Which part of every layer's input reaches the outputs that are asked for, along one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Span:
    """What a convolution step does along one axis, cut down to the outputs that are asked for.

    Attributes:
        start: first element of the input that is needed.
        stop: one past the last.
        before: zeros in front of it; negative where the output sees nothing but zeros behind it.
        after: zeros behind it; negative where the output sees nothing but zeros in front of it.
        size: elements of the kernel.
    """

    start: int
    stop: int
    before: int
    after: int
    size: int

    @property
    def anywhere(self) -> Span:
        """The same at the start of the input; spatial kernels are the same wherever a part of a field lies."""
        return replace(self, start=0, stop=self.length)

    @property
    def length(self) -> int:
        """Elements of the input that are needed."""
        return self.stop - self.start

    @property
    def outputs(self) -> int:
        """Elements of the output."""
        return self.length + self.before + self.after - self.size + 1

    @property
    def period(self) -> int:
        """The least odd number of elements after which the input may repeat itself.

        Where the kernel reaches over one side, it must meet zeros; those of one side serve the other as well. Odd
        periods have one frequency without a partner, zero, instead of two.
        """
        return (self.length + max(self.before, self.after)) | 1


def needed(outputs: range, size: int, before: int, length: int) -> Span:
    """What of an input reaches some outputs.

    Args:
        outputs: positions in the whole output.
        size: elements of the kernel.
        before: zeros in front of the whole input.
        length: elements of the whole input.
    """
    first, last = outputs.start - before, outputs.stop - 1 - before + size
    start, stop = max(first, 0), min(last, length)
    if start >= stop:  # nothing but zeros is seen: any element will do
        start = min(start, length - 1)
        stop = start + 1
    return Span(start, stop, start - first, last - stop, size)
