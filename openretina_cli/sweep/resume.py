"""What an earlier sweep into the same folder has finished already, and need not be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openretina_cli.artifacts.folder import RunFolder
from openretina_cli.errors import SettingError
from openretina_cli.sweep.plan import Group, Sweep
from openretina_cli.sweep.template import Job


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        finished: runs that need not be made again.
        todo: the groups with what is left of them.
        changed: how many of those left were finished before, under other settings.
        diverged: how many of the finished ones diverged.
    """

    finished: tuple[Job, ...]
    todo: tuple[Group, ...]
    changed: int
    diverged: int


def _standing(group: Group, checkpoint: Callable[[Group], str]) -> tuple[list[Job], list[Job], int, int]:
    """Of one group: finished, left, changed, diverged."""
    finished, left, changed, diverged = [], [], 0, 0
    present: str | None = None
    for job in group.jobs:
        result = RunFolder(job.folder).result
        if result is not None and result.get("settings_key") == job.key:
            present = checkpoint(group) if present is None else present
            _check_checkpoint(result.get("model"), present, job)
            finished.append(job)
            diverged += result.get("status") != "completed"
        else:
            left.append(job)
            changed += result is not None
    return finished, left, changed, diverged


def _check_checkpoint(model: object, present: str, job: Job) -> None:
    made_with = model.get("sha256") if isinstance(model, dict) else None
    if made_with != present:
        raise SettingError(
            f"{job.folder} was made with another checkpoint (SHA-256 {str(made_with)[:12]}, now {present[:12]})",
            repair="another out=, or overwrite=true",
        )


def standing(sweep: Sweep, checkpoint: Callable[[Group], str]) -> Progress:
    """See which runs are finished with the same settings and checkpoint.

    Args:
        sweep: the sweep.
        checkpoint: tells the SHA-256 of a group's checkpoint; asked only where a finished run is found.

    Raises:
        SettingError: a finished run was made with the same settings, but another checkpoint.
    """
    if sweep.settings.overwrite:
        return Progress((), sweep.groups, 0, 0)
    found = [(group, _standing(group, checkpoint)) for group in sweep.groups]
    return Progress(
        finished=tuple(job for _, (finished, *_) in found for job in finished),
        todo=tuple(group.only(left) for group, (_, left, _, _) in found if left),
        changed=sum(changed for _, (_, _, changed, _) in found),
        diverged=sum(diverged for _, (*_, diverged) in found),
    )
