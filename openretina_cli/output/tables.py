"""The history of the optimisation and the responses as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openretina_cli.output.base import Numbers
from openretina_cli.store.names import HISTORY, RESPONSE
from openretina_cli.text import csv_text

if TYPE_CHECKING:
    from openretina_cli.output.view import RunView
    from openretina_cli.stopper import Step


class Tables(Numbers):
    """`history.csv`, a row per measured stimulus, and `response.csv`, a row per response frame."""

    names = (HISTORY, RESPONSE)

    def content(self, name: str, view: RunView, steps: Sequence[Step]) -> bytes:
        """The text of one of the tables."""
        return csv_text(history(steps) if name == HISTORY else responses(view)).encode()


def history(steps: Sequence[Any]) -> list[list[Any]]:
    """The fields of the step records as columns; an unmeasured value is empty."""
    names = [field.name for field in dataclasses.fields(steps[0])]
    rows = ([getattr(step, name) for name in names] for step in steps)
    return [names, *(["" if isinstance(v, float) and math.isnan(v) else v for v in row] for row in rows)]


def responses(view: RunView) -> list[list[Any]]:
    """The stimulus frame of each response frame, its time in s where the frame rate is known, and the traces."""
    times = [] if view.frame_rate is None else ["time_s"]
    traces = [name.replace(" ", "_") for name in view.trace_names]
    rows: list[list[Any]] = [["response_frame", "stimulus_frame", *times, *traces]]
    for index, values in enumerate(view.response.tolist()):
        frame = index + view.lag
        seconds = [] if view.frame_rate is None else [f"{frame / view.frame_rate:.6f}"]
        rows.append([index, frame, *seconds, *values])
    return rows
