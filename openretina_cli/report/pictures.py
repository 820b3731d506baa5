"""What the page draws of a run, in about 1.5 kB: components of the stimulus and the response, in whole numbers."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import RankOne, decompose, stimulus_array
from openretina_cli.analysis.description import Scale, describe_parts
from openretina_cli.errors import ArtifactError, OpenRetinaError
from openretina_cli.report.run import UNREADABLE, Run
from openretina_cli.store.arrays import read_response, read_stimulus
from openretina_cli.store.names import STIMULUS
from openretina_cli.store.result import ChannelNumbers, channel_numbers
from openretina_cli.store.values import text

LARGEST_EDGE = 64
"""Pixels; larger pictures are averaged in blocks for the page."""

MOST_TRACES = 8
"""Responses drawn one by one; of more, the mean is."""

FULL = 32767
"""Largest value of the whole numbers that traces are stored in."""

Pictures = Mapping[str, Any]


def look_at(run: Run) -> tuple[Run, Pictures]:
    """Read the stimulus of a run, fill in the numbers that its result lacks, and make what the page draws of it.

    A run whose stimulus cannot be read is listed as unreadable; one that left none has no pictures.
    """
    if STIMULUS not in run.files or run.status == UNREADABLE:
        return run, {}
    try:
        stimulus = stimulus_array(read_stimulus(run.path))
    except OpenRetinaError as error:
        # named by its folder alone, so that a report can move with its runs
        return replace(run, status=UNREADABLE, error=error.problem.replace(f"{run.path}{os.sep}", "")), {}
    if len(stimulus) != len(run.setup.channels):
        problem = f"{STIMULUS} has {len(stimulus)} channels, and the result names {len(run.setup.channels)}"
        return replace(run, status=UNREADABLE, error=problem), {}
    parts = [decompose(channel) for channel in stimulus]
    run = replace(run, shape=stimulus.shape, numbers=_numbers(run, stimulus, parts))
    return run, {**components(parts), **_response(run)}


def _numbers(run: Run, stimulus: NDArray[np.float32], parts: Sequence[RankOne]) -> dict[str, ChannelNumbers]:
    """The numbers that the result states, else those of the stimulus."""
    scale = Scale(run.setup.frame_rate, run.setup.pixel_size)
    found = {} if run.described else describe_parts(parts, run.setup.channels, scale)
    numbers = {}
    for values, (channel, stated) in zip(stimulus, run.numbers.items(), strict=True):
        measured = channel_numbers(found.get(channel, {}), float(values.min()), float(values.max()))
        known = {name: value for name, value in vars(stated).items() if value is not None}
        numbers[channel] = replace(measured, **known)
    return numbers


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def components(parts: Sequence[RankOne]) -> Pictures:
    """Pictures as bytes around 127, time courses as 16-bit numbers, little-endian, each with its own scale."""
    block = -(-max(parts[0].spatial.shape) // LARGEST_EDGE)
    pictures = np.stack([smaller(part.spatial, block) for part in parts])
    traces = np.stack([part.temporal for part in parts])
    scales = np.abs(traces).max(axis=1)
    whole = np.rint(traces / np.where(scales > 0, scales, 1.0)[:, None] * FULL)
    return {
        "size": [*pictures.shape[1:], block],
        "spatial": _text(np.rint(127.0 + 127.0 * pictures).astype(np.uint8)),
        "frames": traces.shape[1],
        "temporal": _text(whole.astype("<i2")),
        "scales": [float(f"{scale:.6g}") for scale in scales],
    }


def smaller(picture: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """A picture `(height, width)` of which square blocks are averaged to a pixel; zeros fill the last ones."""
    if block == 1:
        return picture
    height, width = (-(-length // block) for length in picture.shape)
    filled = np.zeros((height * block, width * block))
    filled[: picture.shape[0], : picture.shape[1]] = picture
    averaged: NDArray[np.float64] = filled.reshape(height, block, width, block).mean(axis=(1, 3))
    return averaged


def _response(run: Run) -> Pictures:
    """The responses in `response.csv` as 16-bit numbers between their lowest and highest value."""
    try:
        header, values = read_response(run.path)
    except ArtifactError:
        return {}
    if not np.isfinite(values).all():
        return {}
    header = [text(name) or "" for name in header]
    columns = [i for i, name in enumerate(header) if name not in ("response_frame", "stimulus_frame", "time_s")]
    traces, names = values[:, columns].T, [re.sub(r"^neuron_", "neuron ", header[i]) for i in columns]
    if not traces.size:
        return {}
    if len(traces) > MOST_TRACES:
        traces, names = traces.mean(axis=0, keepdims=True), [f"mean of {len(traces)} neurons"]
    low, high = float(traces.min()), float(traces.max())
    whole = np.rint((traces - low) / ((high - low) or 1.0) * 2 * FULL - FULL)
    limits = [float(f"{low:.6g}"), float(f"{high:.6g}")]
    return {"response": _text(whole.astype("<i2")), "limits": limits, "traces": names}
