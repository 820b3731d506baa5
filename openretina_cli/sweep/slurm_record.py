"""What a sweep has submitted to Slurm, written into its folder before sbatch is called: no task is forgotten."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from openretina_cli.config.template import Job
from openretina_cli.errors import ArtifactError, RunError
from openretina_cli.store.aside import aside, move_files
from openretina_cli.store.files import read_json
from openretina_cli.store.folder import RunFolder, Stamp, stamp_of
from openretina_cli.store.names import FAILURE
from openretina_cli.store.reader import read_failure

PLACE = ".slurm"
"""The folder for records, scripts and logs of tasks, in the sweep's."""
NAME = "openretina-"

MAX_RECORD_BYTES = 2**26
MAX_RECORD_VALUES = 2_000_000
"""Bounds of a record; a run takes about 250 bytes and 11 values."""


@dataclass(frozen=True)
class Claim:
    """A run that was given to a task, and what its folder held then, so that what comes of it can be told from that.

    Attributes:
        folder: of the run, relative to the sweep's.
        key: of its settings.
        result: stamp of an earlier result.
        failure: stamp of an earlier failure.
    """

    folder: str
    key: str
    result: Stamp | None
    failure: Stamp | None


@dataclass(frozen=True)
class Record:
    """One array.

    Attributes:
        name: of the array, in Slurm's queue too.
        tasks: the runs of each task.
    """

    name: str
    tasks: tuple[tuple[Claim, ...], ...]


def failure_stamp(folder: Path) -> Stamp | None:
    """What tells one failure of a run from a later one; None where there is none."""
    return stamp_of(folder / FAILURE)


def claim(job: Job, directory: Path) -> Claim:
    """Note what the folder of a run holds before it is submitted."""
    relative = os.path.relpath(job.folder, directory)
    return Claim(relative, job.key, RunFolder(job.folder).stamp, failure_stamp(job.folder))


def outcome(claimed: Claim, folder: Path) -> str | None:
    """What came of a run since it was claimed: empty if it is finished, why not if it failed; None if nothing yet."""
    run = RunFolder(folder)
    if run.stamp not in (None, claimed.result) and (result := run.finished(claimed.key)) is not None:
        return f"diverged: {result.get('failure')}" if result.get("status") == "diverged" else ""
    if failure_stamp(folder) not in (None, claimed.failure):
        return _reason(folder)
    return None


def _reason(folder: Path) -> str | None:
    try:
        return read_failure(folder).error
    except ArtifactError:  # the file is being written
        return None


def new_record(tasks: Sequence[Sequence[Job]], directory: Path) -> Record:
    """The record of an array with a name that no other has."""
    name = f"{NAME}{uuid.uuid4().hex[:12]}"
    return Record(name, tuple(tuple(claim(job, directory) for job in jobs) for jobs in tasks))


def write_record(record: Record, directory: Path) -> Path:
    """Write a record so that it is there after a power cut.

    Args:
        record: of an array that is about to be submitted.
        directory: the sweep's folder.

    Raises:
        OSError: it cannot be written.
    """
    path = directory / PLACE / f"{record.name}.json"
    with aside(path.parent, path.name) as place:
        with (place / path.name).open("w", encoding="utf-8") as file:
            json.dump([[asdict(claimed) for claimed in claims] for claims in record.tasks], file)
            file.flush()
            os.fsync(file.fileno())
        move_files(place, path.parent, [path.name])
    return path


def _claim_of(item: dict[str, object]) -> Claim:
    stamps = [tuple(value) if isinstance(value := item[key], list) else None for key in ("result", "failure")]
    return Claim(str(item["folder"]), str(item["key"]), *stamps)


def read_records(directory: Path) -> list[Record]:
    """What was submitted for a sweep so far.

    Raises:
        RunError: a record cannot be read, so that nobody knows what is on its way.
    """
    records = []
    for path in sorted((directory / PLACE).glob(f"{NAME}*.json")):
        try:
            tasks = read_json(path, MAX_RECORD_BYTES, MAX_RECORD_VALUES)
            records.append(Record(path.stem, tuple(tuple(map(_claim_of, claims)) for claims in tasks)))
        except (ArtifactError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}, which says what was submitted, cannot be read",
                repair=f"scancel --name={path.stem}, then remove that file",
            ) from error
    return records
