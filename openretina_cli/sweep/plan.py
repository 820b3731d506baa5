"""A sweep before it runs: its runs, grouped by what they share, and each one's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from openretina_cli.config.settings import Settings, check_varied
from openretina_cli.errors import SettingError
from openretina_cli.sweep.expand import VARIED, Request
from openretina_cli.sweep.template import Job, Template, shared_part

Compose = Callable[[Sequence[str]], DictConfig]
"""Composes overrides into settings, Hydra's own among them."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in neuron, session and seed only.

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


def _check_folders(jobs: Sequence[Job]) -> None:
    taken: dict[Path, Job] = {}
    for job in jobs:
        other = taken.setdefault(job.folder, job)
        if other is not job:
            raise SettingError(
                f"runs {other.number} and {job.number} of the sweep would both go into {job.folder}",
                expected="a folder for each run",
                repair="no value twice, and hydra.sweep.subdir left as it is",
            )


def plan_sweep(requests: Sequence[Request], compose: Compose) -> Sweep:
    """Compose what the runs share, and find each one's folder; nothing is written.

    Raises:
        SettingError: a setting is wrong, or two runs would go into one folder.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `hydra_errors.explain` puts into a sentence.
    """
    _check_varied(requests)
    templates: dict[tuple[str, ...], Template] = {}
    jobs: dict[tuple[str, ...], list[Job]] = {}
    for number, request in enumerate(requests):
        shared = shared_part(request)
        if shared not in templates:
            templates[shared] = Template(compose(shared))
            jobs[shared] = []
        jobs[shared].append(templates[shared].job(number, request))
    _check_folders([job for group in jobs.values() for job in group])
    settings = [templates[shared].settings(group[0]) for shared, group in jobs.items()]
    groups = tuple(
        Group(templates[shared], tuple(sorted(group, key=lambda job: job.session))) for shared, group in jobs.items()
    )
    return Sweep(templates[shared_part(requests[0])].directory, groups, settings[0])
