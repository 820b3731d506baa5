"""What the outputs of a run are made from: plain arrays and facts, which can be read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import RankOne, decompose
from openretina_cli.errors import ArtifactError
from openretina_cli.store import arrays
from openretina_cli.store.names import RESPONSE, STIMULUS
from openretina_cli.store.result import Result, read_result
from openretina_cli.store.starts import labels_of, remark_of
from openretina_cli.text import one_line

LONGEST_TITLE = 500
"""Characters of a title, of which a figure has room for a few lines."""

DRAWN = ("channels", "neurons", "lag_frames", "window_response_frames", "frame_rate_hz", "pixel_size_um", "title")
"""Fields of a result that pictures are drawn from."""

MAX_LAG = 100_000
"""Frames before the first response, and last frame of the window; the time axis reaches so far."""


class Cluster(NamedTuple):
    """Neurons whose mean response a figure shows.

    Attributes:
        name: what they are, such as their cell type.
        traces: their columns in the responses.
    """

    name: str
    traces: tuple[int, ...]


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
        remark: a sentence about the starts or the set that the stimulus is from; empty where there was one start.
        members: the stimuli of the set; empty where there is none.
        labels: what stands above each of them.
        clusters: what the objective compares, the neurons that are to respond first; empty for neurons alone.
        history: `(step, 2)`, iteration and objective of each measured stimulus; empty where it is not known.
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
    remark: str = ""
    members: tuple[NDArray[np.float32], ...] = ()
    labels: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    history: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    def __post_init__(self) -> None:
        """Makes the names safe to draw, whatever file they come from."""
        object.__setattr__(self, "channels", tuple(map(one_line, self.channels)))
        object.__setattr__(self, "trace_names", tuple(map(one_line, self.trace_names)))
        object.__setattr__(self, "labels", tuple(map(one_line, self.labels)))
        for name in ("title", "remark"):
            object.__setattr__(self, name, one_line(getattr(self, name), LONGEST_TITLE))
        object.__setattr__(self, "clusters", tuple(Cluster(one_line(c.name), c.traces) for c in self.clusters))

    @cached_property
    def parts(self) -> tuple[RankOne, ...]:
        """Each channel taken apart, once for the result, the figure and whoever else asks."""
        return tuple(decompose(channel) for channel in self.stimulus)

    @property
    def stimulus_window(self) -> tuple[int, int] | None:
        """The stimulus frames `[start, stop)` that coincide with the response window."""
        if self.window is None:
            return None
        return self.window[0] + self.lag, self.window[1] + self.lag


def read_view(folder: Path) -> RunView:
    """The run in a folder, as `openretina optimize` drew it.

    Raises:
        ArtifactError: a file is missing or broken, or the files do not fit each other.
    """
    result = read_result(folder)
    result.need(*DRAWN)
    if max(result.lag, *(result.window or (0,))) > MAX_LAG:
        raise ArtifactError(f"{result.path} states a lag or window beyond {MAX_LAG} frames")
    stimulus = arrays.read_stimulus(folder)
    names = result.traces or tuple(f"neuron {neuron}" for neuron in result.neurons)  # 0.1 stated no traces
    if len(stimulus) != len(result.channels):
        problem = f"{folder / STIMULUS} has {len(stimulus)} channels"
        raise ArtifactError(problem, expected=str(len(result.channels)))
    labels = labels_of(result.tree)
    stack = arrays.read_members(folder) if labels else None
    members = () if stack is None or len(stack) != len(labels) else tuple(stack)
    return RunView(
        stimulus=stimulus,
        channels=result.channels,
        response=_response(folder, len(names)),
        trace_names=names,
        lag=result.lag,
        window=result.window,
        frame_rate=result.frame_rate,
        pixel_size=result.pixel_size,
        title=result.title,
        remark=remark_of(result.tree),
        members=members,
        labels=labels if members else (),
        clusters=_clusters(result),
        history=arrays.read_history(folder),
    )


def _clusters(result: Result) -> tuple[Cluster, ...]:
    """The clusters that a result states; none where one of them names a neuron that has no trace."""
    places = {neuron: place for place, neuron in enumerate(result.neurons)}
    if not all(neuron in places for _, neurons in result.clusters for neuron in neurons):
        return ()
    return tuple(Cluster(name, tuple(places[n] for n in neurons)) for name, neurons in result.clusters)


def _response(folder: Path, traces: int) -> NDArray[np.float32]:
    """The responses `(time, trace)`: the last columns of the table, one for each trace.

    Raises:
        ArtifactError: the table cannot be read, or has no such columns.
    """
    header, table = arrays.read_response(folder)
    if len(header) < traces:
        raise ArtifactError(f"{folder / RESPONSE} has {len(header)} columns", expected=f"a column for each of {traces}")
    with np.errstate(over="ignore"):
        return table[:, len(header) - traces :].astype(np.float32)
