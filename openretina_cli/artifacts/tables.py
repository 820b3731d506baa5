"""What a run leaves behind as numbers: the stimulus tensor, two tables, and the result."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.view import RunView
from openretina_cli.store.json_file import json_bytes
from openretina_cli.text import csv_text


def write_stimulus(stimulus: NDArray[np.float32], path: Path) -> None:
    """Write a stimulus `(channel, time, height, width)` as a tensor `(1, channel, time, height, width)`.

    `torch.load(path, weights_only=True)` reads it, and a model takes it as it is.
    """
    import torch  # the other files of a run are written without it

    content = io.BytesIO()  # written by Python, which says when a disk is full; torch does not
    torch.save(torch.from_numpy(stimulus)[None].clone(), content)
    path.write_bytes(content.getvalue())


def write_history(steps: Sequence[Any], path: Path) -> None:
    """Write a row per measured stimulus; the fields of the step records are the columns, an unmeasured one is empty."""
    names = [field.name for field in dataclasses.fields(steps[0])]
    rows = ([getattr(step, name) for name in names] for step in steps)
    cells = (["" if isinstance(v, float) and math.isnan(v) else v for v in row] for row in rows)
    path.write_text(csv_text([names, *cells]), encoding="utf-8")


def write_response(view: RunView, path: Path) -> None:
    """Write a row per response frame: its stimulus frame, its time in s where the frame rate is known, the traces."""
    times = [] if view.frame_rate is None else ["time_s"]
    traces = [name.replace(" ", "_") for name in view.trace_names]
    rows: list[list[object]] = [["response_frame", "stimulus_frame", *times, *traces]]
    for index, values in enumerate(view.response.tolist()):
        frame = index + view.lag
        seconds = [] if view.frame_rate is None else [f"{frame / view.frame_rate:.6f}"]
        rows.append([index, frame, *seconds, *values])
    path.write_text(csv_text(rows), encoding="utf-8")


def write_result(result: Mapping[str, Any], path: Path) -> None:
    """Write a result as JSON that any reader takes; a number that is not finite becomes null."""
    path.write_bytes(json_bytes(result))
