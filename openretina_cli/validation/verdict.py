"""What became of stimuli: a verdict for each, and summaries by type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST_ROOM = 0.05
"""A gain divides by what the best stimulus adds to grey; below 5 % of grey's response that is no measure of anything.
So it is for cells that contrast suppresses: their most exciting input at a fixed norm is the least suppressing one."""


@dataclass(frozen=True)
class Validation:
    """How a stimulus did.

    Responses are true ones, but for the predicted; for objectives other than the mean response of neurons (MEI) and
    minus it (MDI), they are the objective's values.

    Attributes:
        source: where the stimulus is from.
        session: the session.
        neurons: the neurons that count.
        type: their functional type.
        group: its number; None where they are of several types.
        objective: kind of the objective.
        predicted: what the twin promised.
        true: response to the stimulus.
        grey: response to the mean stimulus, zero.
        optimum: best response known under the same constraints.
        natural: best response to the natural clips.
        percentile: percent of the natural clips that the stimulus beats.
        gain: of the stimulus, NaN where it means nothing (see `LEAST_ROOM`).
        natural_gain: of the best natural clip.
        above_natural: whether the stimulus beats it.
        cosine: between the stimulus and the one found on the truth from the same start.
        colours: correlation over time of the first two colours at the cell's centre; NaN where there is one only.
        polarity: largest excursion from grey at the centre, colours averaged, in standard deviations of the movies:
            positive for light (ON), negative for dark (OFF).
    """

    source: str
    session: str
    neurons: tuple[int, ...]
    type: str
    group: int | None
    objective: str
    predicted: float
    true: float
    grey: float
    optimum: float
    natural: float
    percentile: float
    gain: float
    natural_gain: float
    above_natural: bool
    cosine: float
    colours: float
    polarity: float


RESPONSES = ("mei", "mdi", "group_mei")
"""Kinds of objectives whose value is a response."""


@dataclass(frozen=True)
class TypeSummary:
    """The stimuli of one kind for the cells of one type.

    Attributes:
        label: the type.
        objective: kind of the objective.
        rows: the stimuli.
    """

    label: str
    objective: str
    rows: tuple[Validation, ...]

    def mean(self, value: Callable[[Validation], float]) -> float:
        """Mean over the stimuli for which a value means something; NaN where it never does."""
        found = [v for v in map(value, self.rows) if not math.isnan(v)]
        return sum(found) / len(found) if found else math.nan

    @property
    def worst_gain(self) -> float:
        """The smallest gain."""
        return min((row.gain for row in self.rows if not math.isnan(row.gain)), default=math.nan)

    @property
    def above_natural(self) -> int:
        """How many stimuli beat their best natural clip."""
        return sum(row.above_natural for row in self.rows)

    @property
    def times_grey(self) -> float:
        """Mean of the true response over that to grey; NaN for objectives that are no response."""
        if self.objective not in RESPONSES:
            return math.nan
        return self.mean(lambda row: row.true / row.grey if row.grey else math.nan)


def by_type(rows: Sequence[Validation]) -> list[TypeSummary]:
    """The stimuli by objective and type, types in the order of their groups."""
    keys = sorted({(row.objective, row.group if row.group is not None else math.inf, row.type) for row in rows})
    return [
        TypeSummary(label, objective, tuple(r for r in rows if (r.objective, r.type) == (objective, label)))
        for objective, _, label in keys
    ]


def gain(response: float, grey: float, optimum: float) -> float:
    """Where a true response lies between that to grey, 0, and the best one known, 1; NaN without room between them.

    A stimulus found on a model of the retina loses where the model is wrong. Unlike a ratio of responses, the gain
    gives nothing for what grey evokes already.
    """
    return (response - grey) / (optimum - grey) if optimum - grey > LEAST_ROOM * abs(grey) else math.nan
