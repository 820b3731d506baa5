"""Writes the report of a folder, each file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.report.findings import read_findings
from openretina_cli.report.names import PAGE, SEEDS, STIMULI, SUMMARY
from openretina_cli.report.page import page_html
from openretina_cli.report.pictures import Pictures, look_at
from openretina_cli.report.run import Run, read_run
from openretina_cli.report.seeds import seeds_csv, together
from openretina_cli.report.stack import write_stack
from openretina_cli.report.summary import summary_csv
from openretina_cli.store.aside import aside, move_files
from openretina_cli.store.finder import find_runs


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report.

    Attributes:
        page: the page to look through the runs.
        summary: the table, a row per run.
        stimuli: all stimuli.
        runs: how many runs were found, of any status.
        seeds: the table of cells that have runs of several seeds; None where there are none.
    """

    page: Path
    summary: Path
    stimuli: Path
    runs: int
    seeds: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the page first."""
        return self.page, self.summary, *([self.seeds] if self.seeds else []), self.stimuli


def write_report(directory: Path, on_run: Callable[[int, int], None] | None = None) -> ReportFiles:
    """Write table, stimuli and page of all runs in a folder, into that folder.

    Runs may lie at any depth. A folder that was begun and not finished, or is broken, is listed as unreadable. Several
    processes may do this at once, while runs are still coming in: each file is that of one of them.

    Args:
        directory: a folder with runs below it, or the folder of one run.
        on_run: called with the number of runs read so far, and of all.

    Raises:
        SettingError: it is no folder, holds no run, or cannot be written.
        ArtifactError: a file could not be written.
    """
    places = find_runs(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SettingError(f"{directory} cannot be written", expected="a folder that is yours to write in")
    runs, pictures = _look_at_all(places, directory, on_run or (lambda done, total: None))
    runs, cells = together(runs)
    try:
        with aside(directory, "report") as place:
            write_stack(runs, place / STIMULI, cells)
            (place / SUMMARY).write_bytes(summary_csv(runs, cells).encode("utf-8"))
            if cells:
                (place / SEEDS).write_bytes(seeds_csv(runs, cells).encode("utf-8"))
            title = os.fsencode(directory.resolve().name).decode("utf-8", "replace")
            found = read_findings(directory, max(run.finished for run in runs))
            page = page_html(title, runs, pictures, places == [directory], cells, found)
            (place / PAGE).write_bytes(page.encode("utf-8"))
            move_files(place, directory, (SUMMARY, STIMULI, *([SEEDS] if cells else []), PAGE))
            if not cells:
                (directory / SEEDS).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"{directory} cannot be written: {error.strerror or error}", repair="a disk with more room"
        ) from error
    return ReportFiles(
        directory / PAGE, directory / SUMMARY, directory / STIMULI, len(runs), directory / SEEDS if cells else None
    )


def _look_at_all(
    places: Sequence[Path], directory: Path, on_run: Callable[[int, int], None]
) -> tuple[list[Run], list[Pictures]]:
    runs, pictures = [], []
    for place in places:
        run, drawn = look_at(read_run(place, directory))
        runs.append(run)
        pictures.append(drawn)
        on_run(len(runs), len(places))
    return runs, pictures
