"""One run as the report sees it: the facts in its files, as far as they can be read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.report.findings import read_findings
from openretina_cli.report.names import LINKED, MOST_FILES, link
from openretina_cli.store.finder import shown_name
from openretina_cli.store.names import FAILURE, RESULT, is_plain
from openretina_cli.store.result import (
    COMPLETED,
    DIVERGED,
    ChannelNumbers,
    Result,
    read_config,
    read_failure,
    read_result,
)
from openretina_cli.store.starts import remark_of
from openretina_cli.store.values import below, flatten, texts

FAILED, UNREADABLE = "failed", "unreadable"

NOT_OF_THE_RUN = ("out", "overwrite", "fail_fast")
"""Settings that say where a run went, not what it was."""


@dataclass(frozen=True)
class Setup:
    """What runs of one sweep mostly share.

    Attributes:
        channels: their names.
        frame_rate: Hz.
        pixel_size: um per pixel edge.
        lag: stimulus frames before the first response.
        window: response frames `[start, stop)` that were optimised.
        constraints: what the stimulus had to obey.
        model: name of the model.
        source: where it came from.
        note: what a reader must know of it.
        device: where the run was computed.
        versions: of the software.
    """

    channels: tuple[str, ...] = ()
    frame_rate: float | None = None
    pixel_size: float | None = None
    lag: int = 0
    window: tuple[int, int] | None = None
    constraints: tuple[str, ...] = ()
    model: str = ""
    source: str = ""
    note: str = ""
    device: str = ""
    versions: str = ""


@dataclass(frozen=True)
class Run:
    """The facts of one run; None or empty where they are not known.

    Attributes:
        path: its folder.
        name: the folder's name below the report's, as text.
        href: the folder's address in links.
        status: completed, diverged, failed, or unreadable.
        error: why it is not completed.
        quality: test performance of each of the neurons, where the checkpoint states it.
        kind: kind of the objective, such as "mei".
        settings: by dotted names.
        numbers: per channel name.
        files: those of the known files that are there.
        remark: a sentence about the starts or the set that the stimulus is from.
        shape: `(channel, time, height, width)` of the stimulus that was read.
        described: whether the result has all numbers of the stimulus, or says why it has not.
        members: mean and standard deviation of the scores on the members of an ensemble.
        natural: percentile among natural clips, response to the best of them, and their number.
        colour: angle in degrees.
        cell: place of the group of runs that differ from this one by their seed.
        cosine: with the best seed of that group.
        findings: what verbs found on the run, see `report.findings`.
    """

    path: Path
    name: str
    href: str
    status: str
    error: str = ""
    session: str = ""
    neurons: tuple[int, ...] = ()
    cell_types: tuple[str, ...] = ()
    quality: tuple[float | None, ...] = ()
    seed: int | None = None
    kind: str = ""
    objective: str = ""
    initial: float | None = None
    final: float | None = None
    best: float | None = None
    iterations: int | None = None
    stop_reason: str = ""
    norm: float | None = None
    wall_time: float | None = None
    finished: str = ""
    warnings: tuple[str, ...] = ()
    setup: Setup = Setup()
    settings: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, ChannelNumbers] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    remark: str = ""
    shape: tuple[int, ...] | None = None
    described: bool = False
    members: tuple[float, float] | None = None
    natural: tuple[float, float, int] | None = None
    colour: float | None = None
    cell: int | None = None
    cosine: float | None = None
    findings: Sequence[Mapping[str, Any]] = ()


def read_run(path: Path, root: Path) -> Run:
    """The facts of the run in a folder; whatever the folder holds, this never fails."""
    files = tuple(name for name in LINKED if _is_there(path / name))
    run = Run(path, shown_name(path, root), link(path, root), UNREADABLE, files=files)
    errors = {}
    for name, read in ((RESULT, _finished), (FAILURE, _failed)):
        try:
            return read(run)
        except ArtifactError as error:
            errors[name] = error.problem.replace(f"{path}{os.sep}", "")  # so that a report can move with its runs
    broken = next((name for name in errors if os.path.lexists(path / name)), None)
    return replace(run, error=errors[broken] if broken else f"there is no {RESULT}: it was not finished")


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _settings(path: Path, stated: Mapping[str, Any]) -> Mapping[str, str]:
    """The settings of a run, as stated or else from Hydra's record, without where the run was put."""
    settings = stated or read_config(path)
    return {name: text for name, text in flatten(settings).items() if name not in NOT_OF_THE_RUN}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _finished(run: Run) -> Run:
    result = read_result(run.path)
    settings = _settings(run.path, result.settings)
    return replace(
        run,
        status=DIVERGED if result.status == DIVERGED else COMPLETED,
        error=result.failure,
        session=result.session,
        neurons=result.neurons,
        cell_types=tuple(dict.fromkeys(result.cell_types)),
        quality=result.quality,
        seed=result.seed,
        kind=_option(settings.get("objective._target_", ""), settings.get("objective.kind", "")),
        objective=result.objective,
        initial=_known(result.initial),
        final=_known(result.final),
        best=_known(result.best),
        iterations=result.iterations,
        stop_reason=result.stop_reason,
        norm=_known(result.norm),
        wall_time=_known(result.wall_time),
        finished=result.finished,
        warnings=result.warnings,
        setup=_setup(result),
        settings=settings,
        numbers=result.numbers,
        remark=remark_of(result.tree),
        described=all(below(result.tree, f"description.{channel}.reasons") is not None for channel in result.channels),
        findings=read_findings(run.path, result.finished),
        members=None if math.isnan(result.member_mean) else (result.member_mean, result.member_sd),
        natural=_natural(result),
        colour=_known(result.colour),
        files=(*run.files, *_other_files(run.path, result)),
    )


def _natural(result: Result) -> tuple[float, float, int] | None:
    if math.isnan(result.natural) or result.natural_clips is None:
        return None
    return result.natural, result.natural_best, result.natural_clips


def _other_files(path: Path, result: Result) -> Iterator[str]:
    """Files of outputs that are not the package's own, which the result lists."""
    listed = texts(result.tree.get("files")) or ()
    return (name for name in listed[:MOST_FILES] if name not in LINKED and is_plain(name) and _is_there(path / name))


def _option(target: str, kind: str) -> str:
    """The name of an option: the file of a built-in class, the class of a user's, or its `kind` of version 0.1."""
    package, *modules, cls = target.split(".") if "." in target else ("", kind)
    return modules[-1] if package == "openretina_cli" and modules else cls


def _setup(result: Result) -> Setup:
    return Setup(
        channels=result.channels,
        frame_rate=result.frame_rate,
        pixel_size=result.pixel_size,
        lag=result.lag,
        window=result.window,
        constraints=result.constraints,
        model=result.model,
        source=result.source,
        note=result.note,
        device=result.device,
        versions=result.versions,
    )


def _failed(run: Run) -> Run:
    failure = read_failure(run.path)
    settings = _settings(run.path, failure.settings)
    return replace(
        run,
        status=FAILED,
        error=failure.error,
        session=failure.session,
        neurons=failure.neurons,
        seed=failure.seed,
        kind=_option(settings.get("objective._target_", ""), settings.get("objective.kind", "")),
        finished=failure.finished,
        settings=settings,
    )
