"""A sweep before it runs: its runs, grouped by what they share, each one's folder, and which of them are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from openretina_cli.config.expand import VARIED, Request
from openretina_cli.config.folder_name import telling_keys
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import Composed, Settings, check_varied
from openretina_cli.config.template import Job, Template, shared_part
from openretina_cli.errors import SettingError
from openretina_cli.output.chosen import chosen_outputs
from openretina_cli.run.currency import Currency
from openretina_cli.run.placement import placed_folders
from openretina_cli.store.aside import write_whole
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FAILURE

Failures = dict[Path, str]
"""Why runs of a sweep failed, by folder."""
Compose = Callable[[Sequence[str]], Composed]
"""Composes overrides into settings, Hydra's own among them."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in neuron, session and seed only, and share one model.

    Attributes:
        record: what Hydra leaves beside them.
        jobs: the runs, those of one session together.
    """

    record: Record
    jobs: tuple[Job, ...]

    def only(self, chosen: Sequence[Job]) -> Group:
        """The same group with some of its runs."""
        return replace(self, jobs=tuple(chosen))


@dataclass(frozen=True)
class Sweep:
    """All runs.

    Attributes:
        directory: where the sweep goes.
        groups: its runs.
        config: composed for its first group; what belongs to the sweep as a whole is the same in all.
    """

    directory: Path
    groups: tuple[Group, ...]
    config: Composed

    @property
    def jobs(self) -> list[Job]:
        """All runs."""
        return [job for group in self.groups for job in group.jobs]


def _check_varied(requests: Sequence[Request]) -> None:
    seen = set()
    for assignment in (assignment for request in requests for assignment in request if assignment.key in VARIED):
        if assignment.text not in seen:
            seen.add(assignment.text)
            check_varied(assignment.key, assignment.value)


def several_directories(text: str) -> SettingError:
    """The error about a sweep's folder that differs from run to run; `text` is the folder as it is written."""
    parts = text.split("/")
    fixed = next(index for index, part in enumerate((*parts, "${")) if "${" in part)
    start, rest = "/".join(parts[:fixed]) or "FOLDER", "/".join(parts[fixed:])
    return SettingError(
        f"out={text} names another folder for each run of the sweep",
        expected="one folder for all",
        repair=f"out={start} 'hydra.sweep.subdir={rest}'",
    )


def _check_directory(template: Template, directory: Path) -> None:
    if template.directory == directory:
        return
    raise several_directories(template.directory_text)


class _Plans:
    """Composes what runs share, once for each combination of other settings.

    Args:
        requests: all runs of the sweep.
        compose: composes overrides into settings.
    """

    def __init__(self, requests: Sequence[Request], compose: Compose) -> None:
        self._telling = telling_keys(requests)
        self._compose = compose
        self._templates: dict[tuple[str, ...], Template] = {}
        self._directory: Path | None = None

    def job(self, number: int, request: Request) -> tuple[Template, Job]:
        """The record of a run, and what it shares with others."""
        shared = shared_part(request)
        if shared not in self._templates:
            moment = next(iter(self._templates.values()), None)
            self._templates[shared] = Template(self._compose(shared), self._telling, moment)
        template = self._templates[shared]
        job = template.job(number, request)
        self._directory = self._directory or template.directory
        _check_directory(template, self._directory)
        return template, job

    @property
    def directory(self) -> Path:
        """The sweep's folder, known once there is a job."""
        assert self._directory is not None  # noqa: S101  # for the type checker
        return self._directory


def plan_sweep(requests: Sequence[Request], compose: Compose) -> Sweep:
    """Compose what the runs share, and find each one's folder; nothing is written.

    Runs whose settings come out the same are one run.

    Raises:
        SettingError: a setting is wrong, or two runs would go into one folder.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    _check_varied(requests)
    plans = _Plans(requests, compose)
    found: dict[str, tuple[Template, Job]] = {}
    for number, request in enumerate(requests):
        template, job = plans.job(number, request)
        found.setdefault(job.key, (template, job))
    templates = {job.number: template for template, job in found.values()}
    folders = placed_folders(plans.directory, [job for _, job in found.values()], lambda job: templates[job.number])
    placed = [templates[job.number].placed(job, folder) for job, folder in folders]
    groups = _grouped(placed, templates)
    for group in groups:
        chosen_outputs(group.jobs[0].settings)  # mistakes come out before any work
    return Sweep(plans.directory, groups, templates[groups[0].jobs[0].number].config)


def _grouped(jobs: Sequence[Job], templates: Mapping[int | None, Template]) -> tuple[Group, ...]:
    """Runs with one template and one model together, those of one session next to each other."""
    groups: dict[tuple[int, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((id(templates[job.number]), job.stack), []).append(job)
    return tuple(
        Group(templates[group[0].number].record, tuple(sorted(group, key=lambda job: job.session)))
        for group in groups.values()
    )


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
    finished: list[Job] = []
    todo: list[Group] = []
    changed: Counter[str] = Counter()
    diverged = 0
    for group in sweep.groups:
        left = []
        for job in group.jobs:
            result = None if job.settings.overwrite else RunFolder(job.folder).result
            reason = "" if result is None else currency.difference(result, job.settings)
            if result is None or reason:
                left.append(job)
                changed.update([reason] if reason else [])
                continue
            finished.append(job)
            diverged += result.get("status") != "completed"
        if left:
            todo.append(group.only(left))
    return Progress(tuple(finished), tuple(todo), changed, diverged)


def write_failure(settings: Settings, reason: str, folder: Path) -> None:
    """Write why there is no result; the next attempt, if it succeeds, removes it.

    Raises:
        OSError: the file cannot be written.
    """
    record = {
        "status": "failed",
        "error": reason,
        "settings_key": settings.key,
        "session": settings.session,
        "neuron": settings.neuron if "neuron" in settings.values["objective"] else None,
        "seed": settings.seed,
        "settings": settings.values,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    write_whole(folder, {FAILURE: json_bytes(record)})
