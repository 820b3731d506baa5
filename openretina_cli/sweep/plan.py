"""A sweep before it runs: its runs, grouped by what they share, and each one's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openretina_cli.config.composed import Composed
from openretina_cli.config.expand import VARIED, Request
from openretina_cli.config.folder_name import telling_keys
from openretina_cli.config.settings import Settings, check_varied
from openretina_cli.config.template import Job, Template, shared_part
from openretina_cli.errors import SettingError
from openretina_cli.output.chosen import chosen_outputs
from openretina_cli.sweep.placement import placed_jobs

Compose = Callable[[Sequence[str]], Composed]
"""Composes overrides into settings, Hydra's own among them."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in neuron, session and seed only, and share one model.

    Attributes:
        template: their settings.
        jobs: the runs, those of one session together.
    """

    template: Template
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
        settings: of its first run; what belongs to the sweep as a whole is the same in all.
    """

    directory: Path
    groups: tuple[Group, ...]
    settings: Settings

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
    templates: dict[str, Template] = {}
    jobs: dict[str, Job] = {}
    for number, request in enumerate(requests):
        template, job = plans.job(number, request)
        if job.key not in jobs:
            jobs[job.key], templates[job.key] = job, template
    placed = placed_jobs(plans.directory, jobs.values(), lambda job: templates[job.key].fully_named(job))
    groups = _grouped(placed, templates)
    settings = [group.template.settings(group.jobs[0]) for group in groups]  # mistakes come out before any work
    for one in settings:
        chosen_outputs(one)
    return Sweep(plans.directory, groups, settings[0])


def _grouped(jobs: Sequence[Job], templates: Mapping[str, Template]) -> tuple[Group, ...]:
    """Runs with one template and one model together, those of one session next to each other."""
    groups: dict[tuple[int, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((id(templates[job.key]), job.stack), []).append(job)
    return tuple(
        Group(templates[group[0].key], tuple(sorted(group, key=lambda job: job.session))) for group in groups.values()
    )
