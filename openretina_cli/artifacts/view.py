"""What the pictures of a run are drawn from: plain arrays and facts, no model and no optimiser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openretina_cli.text import one_line

LONGEST_TITLE = 500
"""Characters of a title, of which a figure has room for a few lines."""


@dataclass(frozen=True)
class RunView:
    """One finished run, as the video and the figure see it.

    Attributes:
        stimulus: `(channel, time, height, width)`, float32, in units of the training set's standard deviation.
        channels: channel names, such as `("green", "uv")`.
        response: `(time, trace)`, the responses drawn; empty `(0, 0)` when there are none.
        trace_names: a label per column of `response`, such as `("neuron 42",)`.
        lag: response frame r belongs to stimulus frame r + lag.
        window: response frames `[start, stop)` that were optimised, or None.
        frame_rate: Hz, or None when unknown or for a static image (then axes are in frames).
        pixel_size: um per pixel edge, or None when unknown (then no scale in um is drawn).
        title: what was optimised, in one line.
    """

    stimulus: NDArray[np.float32]
    channels: tuple[str, ...]
    response: NDArray[np.float32]
    trace_names: tuple[str, ...]
    lag: int
    window: tuple[int, int] | None
    frame_rate: float | None
    pixel_size: float | None
    title: str

    def __post_init__(self) -> None:
        """Makes the names safe to draw, whatever file they come from."""
        object.__setattr__(self, "channels", tuple(map(one_line, self.channels)))
        object.__setattr__(self, "trace_names", tuple(map(one_line, self.trace_names)))
        object.__setattr__(self, "title", one_line(self.title, LONGEST_TITLE))

    @property
    def stimulus_window(self) -> tuple[int, int] | None:
        """The stimulus frames `[start, stop)` that coincide with the response window."""
        if self.window is None:
            return None
        return self.window[0] + self.lag, self.window[1] + self.lag
