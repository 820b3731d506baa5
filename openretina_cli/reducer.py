"""Reducers turn a response trace into a score: the window over response frames that counts, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar

from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.errors import SettingError


def holds_for(cls: type, statement: str, *methods: str) -> bool:
    """Whether an attribute of a class still describes its methods.

    Args:
        cls: the class.
        statement: an attribute, or method, that some class above or `cls` itself defines.
        methods: methods that the statement is about.

    Returns:
        False where a class below the one that makes the statement overrides one of the methods.
    """
    stating = next(place for place, above in enumerate(cls.__mro__) if statement in vars(above))
    return not any(method in vars(below) for below in cls.__mro__[:stating] for method in methods)


class ResponseReducer(ABC):
    """A rule from a response `(time, ...)` to a score `(...)` that looks at the frames `[start, start + length)`.

    Args:
        axis: the time axis of the responses that are reduced.
        start: first response frame that counts.
        length: number of response frames that count; None means up to the end.

    Attributes:
        averages: whether `reduce` takes the mean, so that a score which is linear in the response stays linear.
        along_time: whether `reduce` treats every entry of the other axes alone, so that a stack can be reduced at once.

    Raises:
        SettingError: the window is empty or starts before the response.
    """

    averages: ClassVar[bool] = False
    along_time: ClassVar[bool] = False

    def __init__(self, axis: int = 0, start: int = 0, length: int | None = None) -> None:
        require(start >= 0, "start", start, "0 or more")
        require(length is None or length >= 1, "length", length, "1 or more, or null")
        self._axis = axis
        self.start = start
        self.length = length

    @property
    def is_mean(self) -> bool:
        """Whether the score is the mean over the window, also in a subclass."""
        return self.averages and holds_for(type(self), "averages", "reduce", "forward")

    def grouping(self) -> Hashable | None:
        """Equal for reducers that reduce alike; None where a stack of responses cannot be reduced at once."""
        alone = self._axis != 0 or not self.along_time or not holds_for(type(self), "along_time", "reduce", "forward")
        return None if alone else (type(self), self.start, self.length)

    def window(self, frames: int) -> tuple[int, int]:
        """The response frames `[start, stop)` that count in a response of `frames` frames.

        Raises:
            SettingError: the window reaches outside the response.
        """
        stop = frames if self.length is None else self.start + self.length
        if not self.start < stop <= frames:
            raise SettingError(
                f"the window [{self.start}, {max(stop, self.start + 1)}) is outside the response,"
                f" which has {frames} frames",
                repair=f"reducer.start=0 reducer.length={frames}, or a larger stimulus.frames",
            )
        return self.start, stop

    def forward(self, responses: Tensor) -> Tensor:
        """Reduce the time axis of `responses`.

        Raises:
            SettingError: the window reaches outside the response.
        """
        start, stop = self.window(responses.shape[self._axis])
        return self.reduce(responses.narrow(self._axis, start, stop - start))

    @abstractmethod
    def reduce(self, responses: Tensor) -> Tensor:
        """Reduce the time axis of `responses`, which holds the window only."""

    def _frames(self) -> str:
        if self.length is not None:
            return f"frames [{self.start}, {self.start + self.length})"
        return f"frames from {self.start}" if self.start else "all frames"


class SliceMeanReducer(ResponseReducer):
    """The mean over the response frames `[start, start + length)`."""

    averages = along_time = True

    def reduce(self, responses: Tensor) -> Tensor:
        """Take the mean over time."""
        return responses.mean(dim=self._axis)

    def __repr__(self) -> str:
        return f"mean over {self._frames()}"


class MeanReducer(SliceMeanReducer):
    """The mean over all response frames."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__(axis)


class MaxReducer(ResponseReducer):
    """The largest response in the window."""

    along_time = True

    def reduce(self, responses: Tensor) -> Tensor:
        """Take the maximum over time; of equal maxima, all share the gradient."""
        return responses.amax(dim=self._axis)

    def __repr__(self) -> str:
        return f"maximum over {self._frames()}"
