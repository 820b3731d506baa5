"""What the page of a run looks like before anything of the run is on it: the same for all runs of a kind."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np

from openretina_cli.output.composition.axis_tools import shorten
from openretina_cli.output.view import Cluster, RunView

MANY_TRACES = 10  # more are drawn grey, with their mean
MOST_CLUSTERS = 12  # more are drawn grey, without a name
PICTURES_PER_ROW = 3
WIDTH = 12.5  # inches; 2000 pixels at 160 dpi
TITLE_WIDTH = 110  # characters
MOST_TITLE_LINES = 6
"""Lines of a title; more would leave no room for the panels."""

MOST_REMARK_LINES = 2
NAME_WIDTH, NAMES_PER_ROW = 30, 2
"""Characters of a cluster's name, and how many of them stand beside each other in a legend."""
BULKY = ("stimulus", "response", "history", "parts")
"""What a run shows on a page, and not what the page looks like."""

SHORTEST_NAME = 12
"""Characters that a trace's name has room for at least: neurons 3 and 1042 are drawn on the same page."""

WIDEST = 4000.0
"""A value whose tick label, with its sign, is as wide as tick labels get."""


class Layout:
    """All that decides where things are on the page.

    Args:
        view: a run.
        dpi: pixels per inch.

    Attributes:
        widest: a run of this layout whose texts take all the room that texts may take.
        shape: of the stimulus, `(channel, time, height, width)`.
        responses: response frames.
        traces: response traces.
        key: equal for runs that differ in content only.
    """

    def __init__(self, view: RunView, dpi: int) -> None:
        self.dpi = dpi
        self.shape: tuple[int, int, int, int] = view.stimulus.shape
        self.responses, self.traces = view.response.shape if view.response.size else (0, 0)
        response = np.full((self.responses, self.traces), WIDEST, dtype=np.float32)
        response[:1] = -WIDEST
        self.clusters = len(view.clusters) if self.traces else 0
        names = () if self.traces > MANY_TRACES or self.clusters else view.trace_names
        self.measured = self.is_still and len(view.history) > 1
        self.widest = replace(
            view,
            stimulus=np.full(self.shape, WIDEST, dtype=np.float32),
            response=response,
            trace_names=tuple("0" * max(len(shorten(name)), SHORTEST_NAME) for name in names),
            title=" ".join(["0" * TITLE_WIDTH] * len(title_lines(view))),
            remark="",
            members=(),
            labels=(),
            clusters=(Cluster("0" * NAME_WIDTH, (0,)),) * self.clusters,
            history=np.array([[0, -WIDEST], [1, WIDEST]])[: 2 * self.measured],
        )
        facts = {name: value for name, value in vars(self.widest).items() if name not in BULKY}
        self.key = (dpi, self.shape, self.responses, self.traces, self.measured, *facts.values())

    @property
    def is_still(self) -> bool:
        """Whether the stimulus is a static image."""
        return self.shape[1] == 1

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
            history = 1.9 if self.measured else 0.0
            return (7.6, 10.0, WIDTH)[columns - 1], 1.0 + 3.2 * rows + responses * self.shows_dots + history
        legend = 0.18 * -(-min(self.clusters, MOST_CLUSTERS) // NAMES_PER_ROW)
        return WIDTH, max(3.1 + 0.9 * self.shape[0] + responses, 5.2 + 1.5 * rows) + legend

    @property
    def shows_dots(self) -> bool:
        """Whether the responses to a static image have a panel; one alone stands in the title of the history."""
        return bool(self.traces) and not (self.measured and self.traces == 1)

    @property
    def facts(self) -> str:
        """The facts that a reader needs to judge the axes, in one line."""
        (_, count, height, width), view = self.shape, self.widest
        frames = "static image" if self.is_still else f"{count} frames"
        if view.frame_rate and not self.is_still:
            frames += f" at {view.frame_rate:.4g} Hz ({count / view.frame_rate:.3g} s)"
        facts = [frames, f"{height} by {width} pixels" + (f" of {view.pixel_size:.4g} µm" if view.pixel_size else "")]
        if not self.is_still and self.traces:
            facts.append(f"first response at stimulus frame {view.lag}")
        if not self.is_still and view.stimulus_window is not None:
            start, stop = view.stimulus_window
            facts.append(f"shaded: the optimised window, stimulus frames {start} to {stop - 1}")
        return "  |  ".join(facts)


def title_lines(view: RunView) -> list[str]:
    """The title of a run and the remark about it, in lines that fit the page."""
    return [*_wrapped(view.title, MOST_TITLE_LINES), *(_wrapped(view.remark, MOST_REMARK_LINES) if view.remark else ())]


def _wrapped(text: str, most: int) -> list[str]:
    text = text[: TITLE_WIDTH * (most + 1)]  # wrapping takes the square of the length of a word
    return textwrap.wrap(text, TITLE_WIDTH, max_lines=most, placeholder=" ...") or [" "]
