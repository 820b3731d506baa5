"""Reads from the shapes of responses which axis is which, and how response frames follow stimulus frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from openretina_cli.errors import ModelError

Shape = tuple[int, ...]
Ask = Callable[[int], "Shape | None"]
"""The shape of the response to one stimulus of so many frames; None where the module raises."""

AXES = ("batch", "time", "neuron")
STATE_AXES = "model.response_axes=[batch,time,neuron]"
OTHER_LENGTHS = 16
"""Further stimulus lengths that a strided module is called with; strides up to half this number are told apart."""
SHAPES_NAMED = 3
"""Shapes that an error names at most."""


@dataclass(frozen=True)
class Reading:
    """Where a response has its axes, and when its frames are.

    Attributes:
        batch: axis of the batch.
        time: axis of time; None for a module that answers one frame without an axis of its own.
        neuron: axis of the neurons; None for a module of one neuron without an axis of its own.
        stride: stimulus frames from one response frame to the next.
        lag: response frame r belongs to stimulus frame `lag + stride * r`, the last stimulus frame that it can depend
            on in a module without padding.
    """

    batch: int
    time: int | None
    neuron: int | None
    stride: int
    lag: int

    def ordered(self, response: Tensor) -> Tensor:
        """The response as `(batch, time, neuron)`."""
        axes = [axis for axis in (self.batch, self.time, self.neuron) if axis is not None]
        if response.dim() != len(axes):
            raise ModelError(
                f"the module answers with shape {tuple(response.shape)} here and with {len(axes)} axes elsewhere",
                expected="the same axes for every stimulus and session",
            )
        response = response.permute(axes)
        if self.time is None:
            response = response.unsqueeze(1)
        return response.unsqueeze(-1) if self.neuron is None else response


def _seen(shapes: Mapping[int, Shape]) -> str:
    """The shapes that were seen, in words."""
    return ", ".join(f"{shape} for {frames} frames" for frames, shape in list(shapes.items())[:SHAPES_NAMED])


class AxisReader:
    """Reads the axes of one module's responses.

    Args:
        frames: stimulus frames of the run.
        ask: see `Ask`.
        pair: shape of the response to a batch of two stimuli; None where the module takes one at a time.
        static: whether the module takes images.
        axes: stated names of the axes; None reads them from the shapes.
        stride: stated stride; None reads it from the shapes.

    Raises:
        ModelError: the module answers with a shape that no response has.
    """

    def __init__(
        self, frames: int, ask: Ask, pair: Shape | None, *, static: bool, axes: Sequence[str] | None, stride: int | None
    ) -> None:
        self._frames, self._ask, self._pair = frames, ask, pair
        self._static, self._axes, self._stride = static, axes, stride
        alone = ask(frames)
        assert alone is not None  # noqa: S101  # the module was called before its axes are read
        self._shapes: dict[int, Shape] = {frames: alone}
        self._alone = alone
        if not 1 <= len(alone) <= len(AXES) or 0 in alone:
            raise self._refusal("which is no response", STATE_AXES)
        if axes is not None and len(axes) != len(alone):
            raise self._refusal(f"which are not the axes model.response_axes=[{','.join(axes)}]", "")

    def read(self) -> Reading:
        """Find the axes, the stride and the lag that alone explain all shapes.

        Raises:
            ModelError: the shapes leave it open, or fit no response.
        """
        batch = self._batch()
        time = self._time([axis for axis in range(len(self._alone)) if axis != batch])
        neuron = next((axis for axis in range(len(self._alone)) if axis not in (batch, time)), None)
        stride, lag = (1, self._frames - 1) if time is None else self._pace(time)
        return Reading(batch, time, neuron, stride, lag)

    def _refusal(self, why: str, repair: str) -> ModelError:
        return ModelError(
            f"the module answers with shape {_seen(self._shapes)}, {why}",
            expected="(batch, time, neuron), no longer in time",
            repair=repair,
        )

    def _shape(self, frames: int) -> Shape | None:
        """The shape for another stimulus length, if the module takes one, with as many axes as before."""
        if frames in self._shapes:
            return self._shapes[frames]
        shape = self._ask(frames) if frames >= 1 else None
        if shape is None or len(shape) != len(self._alone):
            return None
        self._shapes[frames] = shape
        return shape

    def _batch(self) -> int:
        if self._axes is not None:
            return list(self._axes).index("batch")
        pair, alone = self._pair, self._alone
        if pair is None:
            if alone[0] == 1:
                return 0
            raise self._refusal("whose batch axis cannot be told, as it takes no batch of two", STATE_AXES)
        follows = [axis for axis, (one, two) in enumerate(zip(alone, pair, strict=False)) if 2 * one == two]
        if len(pair) != len(alone) or len(follows) != 1 or alone[follows[0]] != 1:
            raise self._refusal(f"and with {pair} for a batch of two, where one axis should follow the batch", "")
        return follows[0]

    def _time(self, left: Sequence[int]) -> int | None:
        """Find the time axis among the axes beside the batch."""
        if self._axes is not None:
            return list(self._axes).index("time") if "time" in self._axes else None
        lengths = self._other_lengths() if not self._static else [self._frames]
        follows = [axis for axis in left if len({self._shapes[frames][axis] for frames in lengths}) > 1]
        if len(follows) > 1:
            raise self._refusal("of which several axes follow the stimulus' length", STATE_AXES)
        if follows:
            return follows[0]
        if len(lengths) == 1 and not self._static:
            return self._only_possible(left)
        if len(left) < 2:
            return None
        single = [axis for axis in left if self._alone[axis] == 1]
        if not single:
            raise self._refusal("of which no axis follows the stimulus' length", STATE_AXES)
        return single[0]

    def _only_possible(self, left: Sequence[int]) -> int:
        """The time axis of a module that takes one length: the one axis that is no longer than the stimulus."""
        possible = [axis for axis in left if self._alone[axis] <= self._frames]
        if len(left) == 2 and len(possible) == 1:
            return possible[0]
        raise self._refusal("whose time axis cannot be told, as it takes no other length", STATE_AXES)

    def _other_lengths(self) -> list[int]:
        """Ask one more length or, where that leaves the stride open, many; all lengths that were answered."""
        for frames in (self._frames - 2, self._frames + 2):
            shape = self._shape(frames)
            if shape is not None:
                break
        else:
            return [self._frames]
        changes = [abs(one - two) for one, two in zip(self._alone, shape, strict=True) if one != two]
        if changes == [2]:
            return list(self._shapes)
        far = self._shape(self._frames - OTHER_LENGTHS) or self._shape(self._frames + OTHER_LENGTHS)
        if changes or far != self._alone:  # else no axis follows the length
            for frames in range(self._frames - 1, self._frames - 1 - OTHER_LENGTHS, -1):
                if self._shape(frames) is None:
                    break
            for frames in range(self._frames + 1, self._frames + 1 + OTHER_LENGTHS):
                if len(self._shapes) > OTHER_LENGTHS or self._shape(frames) is None:
                    break
        return list(self._shapes)

    def _pace(self, time: int) -> tuple[int, int]:
        """The stride and the lag: a module without padding answers L frames with (L - lag - 1) // stride + 1."""
        if self._axes is not None and not self._static:
            self._other_lengths()
        counts = {frames: shape[time] for frames, shape in self._shapes.items()}
        if set(counts.values()) == {1}:  # one response frame, whatever the length
            return 1, self._frames - 1
        if counts[self._frames] > self._frames:
            raise self._refusal("which is longer than the stimulus", "")
        strides = [self._stride] if self._stride is not None else range(1, OTHER_LENGTHS // 2 + 1)
        fits = [
            (stride, lag)
            for stride in strides
            for lag in range(self._frames - 1, -1, -1)
            if all((frames - lag - 1) // stride + 1 == count for frames, count in counts.items())
        ]
        if len(counts) == 1 and len({stride for stride, _ in fits}) == 1:
            return fits[0]  # the largest lag, so that the last response frame belongs to the last stimulus frame
        if len(fits) == 1:
            return fits[0]
        raise self._refusal(
            "which leaves open how response frames follow stimulus frames" if fits else "which follows no stride",
            "model.response_stride=1" if fits else "",
        )
