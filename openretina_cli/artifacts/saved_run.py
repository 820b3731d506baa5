"""Reads back from a finished run's folder what its pictures are drawn from, without its model and without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import ArtifactError
from openretina_cli.store import arrays
from openretina_cli.store.names import RESPONSE, STIMULUS
from openretina_cli.store.reader import read_result
from openretina_cli.store.result import Result

DRAWN = (*("channels", "neurons", "lag_frames", "window_response_frames", "frame_rate_hz", "pixel_size_um", "title"),)
"""Fields of a result that its pictures are drawn from."""

MAX_LAG = 100_000
"""Frames before the first response, and last frame of the window; the time axis reaches so far."""


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
    if len(stimulus) != len(result.channels):
        problem = f"{folder / STIMULUS} has {len(stimulus)} channels"
        raise ArtifactError(problem, expected=str(len(result.channels)))
    return RunView(
        stimulus=stimulus,
        channels=result.channels,
        response=_response(folder, result),
        trace_names=tuple(f"neuron {neuron}" for neuron in result.neurons),
        lag=result.lag,
        window=result.window,
        frame_rate=result.frame_rate,
        pixel_size=result.pixel_size,
        title=result.title,
    )


def _response(folder: Path, result: Result) -> NDArray[np.float32]:
    """The responses `(time, trace)`: the last columns of the table, one for each neuron.

    Raises:
        ArtifactError: the table cannot be read, or has no such columns.
    """
    header, table = arrays.read_response(folder)
    traces = len(result.neurons)
    if len(header) < traces:
        raise ArtifactError(f"{folder / RESPONSE} has {len(header)} columns", expected=f"a column for each of {traces}")
    with np.errstate(over="ignore"):
        return table[:, len(header) - traces :].astype(np.float32)
