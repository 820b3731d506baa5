"""What an earlier sweep into the same folder has finished already, and need not be made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from openretina_cli.config.template import Job
from openretina_cli.run.currency import Currency
from openretina_cli.store.folder import RunFolder
from openretina_cli.sweep.plan import Group, Sweep


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        finished: runs that need not be made again.
        todo: the groups with what is left of them.
        changed: how many of those left were finished before, by what changed since.
        diverged: how many of the finished ones diverged.
    """

    finished: tuple[Job, ...]
    todo: tuple[Group, ...]
    changed: Mapping[str, int]
    diverged: int


def standing(sweep: Sweep, currency: Currency) -> Progress:
    """See which runs are finished and current; the others, changed or missing, are to be made.

    Args:
        sweep: the sweep.
        currency: tells whether a finished run is current.

    Raises:
        OpenRetinaError: a model cannot be had, or a later version wrote a result.
    """
    if sweep.settings.overwrite:
        return Progress((), sweep.groups, {}, 0)
    finished: list[Job] = []
    todo: list[Group] = []
    changed: Counter[str] = Counter()
    diverged = 0
    for group in sweep.groups:
        left = []
        for job in group.jobs:
            result = RunFolder(job.folder).result
            settings = group.template.settings(job)
            reason = "" if result is None else currency.difference(result, settings)
            if result is None or reason:
                left.append(job)
                changed.update([reason] if reason else [])
                continue
            finished.append(job)
            diverged += result.get("status") != "completed"
        if left:
            todo.append(group.only(left))
    return Progress(tuple(finished), tuple(todo), changed, diverged)
