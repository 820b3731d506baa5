"""What a response matrix says of every cell type, as the rows that are printed and that the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from openretina_cli.analysis.response_matrix import Selectivity, confusion, selectivities
from openretina_cli.finding.matrix import Responses

HEADER = ("type", "stimuli", "own", "AUC", "other more", "own most")
OTHER = "strongest other"
NATURAL = "natural pct"


@dataclass(frozen=True)
class TypeTable:
    """The stimuli by the type that they were made for.

    Attributes:
        rows: header and a row per type, as texts.
        words: how many types their own stimuli drive most.
        trapped: how many stimuli drive another type more.
    """

    rows: tuple[tuple[str, ...], ...]
    words: str
    trapped: str


def type_table(responses: Responses, normalisation: str, percentiles: Mapping[str, float]) -> TypeTable:
    """The table of types.

    Args:
        responses: the matrix.
        normalisation: "raw", "zscore" or "share".
        percentiles: by stimulus its percentile among natural clips, where that was asked for.
    """
    matrix, labels = responses.normalised()[normalisation], responses.exciting_types
    found = selectivities(matrix, responses.row_types, labels)
    types, kinds, shares = confusion(responses.mean, responses.row_types, labels)
    rows, own_best = [], 0
    for place, label in enumerate(kinds):
        chosen = [column for column, own in enumerate(labels) if own == label]
        share = shares[types.index(label)] if label in types else np.full(len(kinds), np.nan)
        own_best += bool(np.isfinite(share).all()) and int(share.argmax()) == place
        pcts = [percentiles.get(responses.stimuli[column].name, np.nan) for column in chosen] if percentiles else None
        rows.append(_row(label, [found[column] for column in chosen], float(share[place]), pcts))
    header = (*HEADER, *([NATURAL] if percentiles else []), OTHER)
    trapped = sum(one.trapped for one, label in zip(found, labels, strict=True) if label)
    return TypeTable(
        (header, *rows),
        f"{own_best} of {len(kinds)} types prefer the stimuli made for them to those for other types",
        f"{trapped} of {sum(map(bool, labels))} stimuli drive another type more than their own",
    )


def _row(label: str, mine: Sequence[Selectivity], share: float, percentiles: Sequence[float] | None) -> tuple[str, ...]:
    others = [one.other_type for one in mine]
    own, area = (sum(values) / len(mine) for values in ([one.own for one in mine], [one.auc for one in mine]))
    numbers = (
        f"{own:.3g}",
        f"{area:.2f}",
        str(sum(one.trapped for one in mine)),
        "-" if np.isnan(share) else f"{share:.2f}",
    )
    natural = () if percentiles is None else (_mean(percentiles),)
    return (label, str(len(mine)), *numbers, *natural, max(dict.fromkeys(others), key=others.count))


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    return f"{sum(known) / len(known):.1f}" if known else "-"
