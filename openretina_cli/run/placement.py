"""The folder of each run of a sweep, beside those of runs that are there already.

A run is known by its settings, not by the name of its folder: an enlarged sweep, in which runs differ in more settings
than before, finds the finished ones under their earlier names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from openretina_cli.config.folder_name import folded
from openretina_cli.config.template import Job, Template
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.digest import digest_of_text
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.identity import recorded_key, settings_key, shapes_numbers
from openretina_cli.store.names import FAILURE, RESULT
from openretina_cli.store.result import read_failure, read_overrides


def placed_folders(
    directory: Path, jobs: Sequence[Job], template_of: Callable[[Job], Template]
) -> list[tuple[Job, Path]]:
    """Find each run's folder.

    A run goes where a finished or failed run of the same settings lies, or into the folder that is named by what tells
    the runs of the sweep apart. Where that folder holds a run of another command, whose other overrides do not show in
    its name, a name with all overrides is taken, so that nothing finished is replaced.

    Args:
        directory: the sweep's folder.
        jobs: the runs, each with the folder that its name leads to.
        template_of: gives the template that a run was planned with.

    Raises:
        SettingError: two runs would go into one folder.
    """
    there = dict(_finished(directory))
    known = {key: folder for folder, key in (*_failed(directory), *there.items())}
    placed = []
    for job, folder in zip(jobs, _told_apart([job.folder for job in jobs]), strict=True):
        if there.get(folder) == job.key or job.key not in known:
            other = folder in there and there[folder] != job.key and _is_of_another_command(job, folder)
            placed.append((job, template_of(job).fully_named(job) if other else folder))
        else:
            placed.append((job, known[job.key]))
    _check_folders(placed)
    return placed


def _told_apart(folders: Sequence[Path]) -> list[Path]:
    """Add a hash to names that differ in nothing but case, which some file systems ignore."""
    counts = Counter(folded(str(folder)) for folder in set(folders))
    return [
        folder.with_name(f"{folder.name}-{digest_of_text(folder.name)[:8]}")
        if counts[folded(str(folder))] > 1
        else folder
        for folder in folders
    ]


def _finished(directory: Path) -> Iterator[tuple[Path, str]]:
    """The finished runs directly below a folder, each with the key of its settings."""
    for folder in _below(directory, RESULT):
        if (result := RunFolder(folder).result) is not None:
            yield folder, recorded_key(result)


def _failed(directory: Path) -> Iterator[tuple[Path, str]]:
    """The failed runs directly below a folder, each with the key of its settings."""
    for folder in _below(directory, FAILURE):
        with suppress(ArtifactError):  # a record that cannot be read says nothing
            yield folder, settings_key(read_failure(folder).settings)


def _below(directory: Path, name: str) -> Iterator[Path]:
    """The folders directly below a folder that hold a file of a name."""
    try:
        folders = sorted(os.listdir(directory))
    except OSError:  # there is none yet
        return
    yield from (
        directory / folder
        for folder in folders
        if not folder.startswith(".") and os.path.lexists(directory / folder / name)
    )


def _is_of_another_command(job: Job, folder: Path) -> bool:
    """Whether the run in a folder was made with other overrides than a run has."""
    recorded = read_overrides(folder)
    return recorded is None or _shaping(recorded) != _shaping(job.overrides)


def _shaping(texts: Iterable[str]) -> Mapping[str, str]:
    pairs = [text.partition("=")[::2] for text in texts]
    return {key: value for key, value in pairs if shapes_numbers(key)}


def _check_folders(placed: Sequence[tuple[Job, Path]]) -> None:
    taken: dict[str, Job] = {}
    for job, folder in placed:
        other = taken.setdefault(folded(str(folder)), job)
        if other is not job:
            raise SettingError(
                f"runs {other.number} and {job.number} of the sweep would both go into {folder}",
                expected="a folder for each run",
                repair="hydra.sweep.subdir left as it is",
            )
