"""What the page of a run looks like before anything of the run is on it: the same for all runs of a kind."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np

from openretina_cli.output.composition.axis_tools import shorten
from openretina_cli.output.view import RunView

MANY_TRACES = 10  # more are drawn grey, with their mean
PICTURES_PER_ROW = 3
WIDTH = 12.5  # inches; 2000 pixels at 160 dpi
TITLE_WIDTH = 110  # characters
MOST_TITLE_LINES = 6
"""Lines of a title; more would leave no room for the panels."""

SHORTEST_NAME = 12
"""Characters that a trace's name has room for at least: neurons 3 and 1042 are drawn on the same page."""

WIDEST = 4000.0
"""A value whose tick label, with its sign, is as wide as tick labels get."""


@dataclass(frozen=True)
class Layout:
    """All that decides where things are on the page. Runs that agree in it differ in content only.

    Attributes:
        shape: of the stimulus, `(channel, time, height, width)`.
        channels: channel names.
        responses: response frames.
        traces: response traces.
        name_lengths: characters that the traces' names have room for, where each is named.
        lag: response frame r belongs to stimulus frame r + lag.
        window: response frames `[start, stop)` that were optimised, or None.
        frame_rate: Hz, or None.
        pixel_size: um per pixel edge, or None.
        title_lines: lines of the title.
        dpi: pixels per inch.
    """

    shape: tuple[int, int, int, int]
    channels: tuple[str, ...]
    responses: int
    traces: int
    name_lengths: tuple[int, ...]
    lag: int
    window: tuple[int, int] | None
    frame_rate: float | None
    pixel_size: float | None
    title_lines: int
    dpi: int

    @classmethod
    def of(cls, view: RunView, dpi: int) -> Layout:
        """The layout of a run."""
        channels, count, height, width = view.stimulus.shape
        responses, traces = view.response.shape if view.response.size else (0, 0)
        names = () if traces > MANY_TRACES else view.trace_names
        return cls(
            shape=(channels, count, height, width),
            channels=view.channels,
            responses=responses,
            traces=traces,
            name_lengths=tuple(max(len(shorten(name)), SHORTEST_NAME) for name in names),
            lag=view.lag,
            window=view.window,
            frame_rate=view.frame_rate,
            pixel_size=view.pixel_size,
            title_lines=len(title_lines(view)),
            dpi=dpi,
        )

    @property
    def is_still(self) -> bool:
        """Whether the stimulus is a static image."""
        return self.shape[1] == 1

    @property
    def stimulus_window(self) -> tuple[int, int] | None:
        """The stimulus frames `[start, stop)` that coincide with the response window."""
        return None if self.window is None else (self.window[0] + self.lag, self.window[1] + self.lag)

    @property
    def picture_grid(self) -> tuple[int, int]:
        """Columns and rows in which the channels' pictures are laid out; wide pictures go below each other."""
        channels, _, height, width = self.shape
        columns = 1 if width > 2.5 * height else min(channels, PICTURES_PER_ROW)
        return columns, -(-channels // columns)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches: every panel keeps its size, whatever the number of channels."""
        columns, rows = self.picture_grid
        responses = 1.9 if self.traces else 0.0
        if self.is_still:
            return (7.6, 10.0, WIDTH)[columns - 1], 1.0 + 3.2 * rows + responses
        return WIDTH, max(3.1 + 0.9 * self.shape[0] + responses, 5.2 + 1.5 * rows)

    @property
    def facts(self) -> str:
        """The facts that a reader needs to judge the axes, in one line."""
        _, count, height, width = self.shape
        frames = "static image" if self.is_still else f"{count} frames"
        if self.frame_rate and not self.is_still:
            frames += f" at {self.frame_rate:.4g} Hz ({count / self.frame_rate:.3g} s)"
        facts = [frames, f"{height} by {width} pixels" + (f" of {self.pixel_size:.4g} µm" if self.pixel_size else "")]
        if not self.is_still and self.traces:
            facts.append(f"first response at stimulus frame {self.lag}")
        if not self.is_still and self.stimulus_window is not None:
            start, stop = self.stimulus_window
            facts.append(f"shaded: the optimised window, stimulus frames {start} to {stop - 1}")
        return "  |  ".join(facts)

    @property
    def widest(self) -> RunView:
        """A run of this layout whose texts take all the room that texts may take."""
        response = np.full((self.responses, self.traces), WIDEST, dtype=np.float32)
        response[:1] = -WIDEST
        return RunView(
            stimulus=np.full(self.shape, WIDEST, dtype=np.float32),
            channels=self.channels,
            response=response,
            trace_names=tuple("0" * length for length in self.name_lengths),
            lag=self.lag,
            window=self.window,
            frame_rate=self.frame_rate,
            pixel_size=self.pixel_size,
            title=" ".join(["0" * TITLE_WIDTH] * self.title_lines),
        )


def title_lines(view: RunView) -> list[str]:
    """The title of a run, in lines that fit the page."""
    title = view.title[: TITLE_WIDTH * (MOST_TITLE_LINES + 1)]  # wrapping takes the square of the length of a word
    return textwrap.wrap(title, TITLE_WIDTH, max_lines=MOST_TITLE_LINES, placeholder=" ...") or [" "]
