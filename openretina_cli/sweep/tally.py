"""What came of the runs of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """Counts runs.

    Attributes:
        done: finished runs.
        failures: why the others failed, by folder.
    """

    done: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
