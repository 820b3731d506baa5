"""What a run leaves whose objective is about a set of stimuli: all members, and how each of them did."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openretina_cli.loop.loop import Outcome
from openretina_cli.objective.base import AbstractObjective
from openretina_cli.store.names import MEMBERS


@dataclass(frozen=True)
class SetOutcome(Outcome):
    """The outcome of a set: that of its most active member, and all members.

    Attributes:
        stimuli: `(member, channel, time, height, width)`.
        report: the block `set` of `result.json`.
    """

    stimuli: Tensor | None = None
    report: dict[str, Any] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What `result.json` says of the set."""
        return {**super().record, "set": self.report}

    @property
    def members(self) -> tuple[Tensor, ...]:
        """All members."""
        return () if self.stimuli is None else tuple(self.stimuli)


@torch.no_grad()
def set_outcome(objective: AbstractObjective, outcomes: Sequence[Outcome], seeds: Sequence[int]) -> SetOutcome:
    """Put the outcomes of the members of a set together.

    Args:
        objective: of the set.
        outcomes: of each member.
        seeds: of their starts.
    """
    stimuli = torch.stack([outcome.stimulus for outcome in outcomes])
    report, members = objective.report_set(stimuli)
    ends = [
        {"seed": seed, "stop_reason": outcome.stop_reason, "failure": outcome.failure}
        for seed, outcome in zip(seeds, outcomes, strict=True)
    ]
    kept = outcomes[max(range(len(members)), key=lambda index: members[index]["activation"])]
    said = {field.name: getattr(kept, field.name) for field in fields(Outcome)}
    short = sum(not member["keeps"] for member in members)
    if short:
        more = "more stopper.max_iterations, a smaller optimizer.lr, or a smaller objective.strength may help"
        warning = f"{short} of {len(members)} members are below the threshold of the set; {more}"
        said["warnings"] = (*kept.warnings, warning)
    listed = [{**end, **member} for end, member in zip(ends, members, strict=True)]
    return SetOutcome(**said, stimuli=stimuli, report={**report, "members": listed})


def write_members(outcome: Outcome, folder: Path) -> None:
    """Write the members of a set as one tensor `(member, channel, time, height, width)`, where there is a set."""
    if outcome.members:
        content = io.BytesIO()  # written by Python, which says when a disk is full; torch does not
        torch.save(torch.stack(outcome.members).float().cpu(), content)
        (folder / MEMBERS).write_bytes(content.getvalue())
