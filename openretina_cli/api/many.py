"""A sweep in one call."""

from __future__ import annotations

import html
import importlib
import importlib.util
import io
import shutil
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openretina_cli.api.call import Call, Kept, explained, read_call, temporary_folder
from openretina_cli.api.optimize import READ_BACK
from openretina_cli.api.optimized import Optimized
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.report import write_report
from openretina_cli.report.run import read_run
from openretina_cli.report.seeds import together
from openretina_cli.report.summary import summary_csv, summary_rows
from openretina_cli.store.finder import find_runs
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.result import COMPLETED, DIVERGED
from openretina_cli.text import one_line

if TYPE_CHECKING:  # a call must not wait for what it may not need
    import numpy as np
    from numpy.typing import NDArray

MOST_SHOWN = 20
"""Rows that a notebook shows."""


class OptimizedMany(Mapping[str, Optimized]):
    """The runs of a sweep, by the names of their folders; a notebook shows the table.

    Args:
        folder: of a sweep, made from Python or by the command.

    Raises:
        SettingError: there is no run in the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self._runs, self._cells = together([read_run(path, self.folder) for path in find_runs(self.folder)])
        self._finished = {run.name: run.path for run in self._runs if run.status in (COMPLETED, DIVERGED)}

    def __getitem__(self, name: str) -> Optimized:
        return Optimized(self._finished[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._finished)

    def __len__(self) -> int:
        return len(self._finished)

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        """The table, a row per run, failed ones too: what `summary.csv` of the command says."""
        return summary_rows(self._runs, self._cells)

    @property
    def table(self) -> Any:
        """The table as a `pandas.DataFrame`; where pandas is not installed, `rows`."""
        if importlib.util.find_spec("pandas") is None:
            return self.rows
        pandas: Any = importlib.import_module("pandas")
        return pandas.read_csv(io.StringIO(summary_csv(self._runs, self._cells)))

    @cached_property
    def stack(self) -> NDArray[np.float32]:
        """The stimuli of all finished runs, `(run, channel, time, height, width)`, in the order of `list(self)`.

        Raises:
            ArtifactError: the stimuli are of several shapes.
        """
        import numpy as np

        from openretina_cli.store.arrays import read_stimulus

        stimuli = [read_stimulus(path) for path in self._finished.values()]
        if len({stimulus.shape for stimulus in stimuli}) != 1:
            raise ArtifactError("the stimuli are of several shapes", expected="each one's own: sweep[name].stimulus")
        return np.stack(stimuli)

    def save(self, directory: str | Path) -> Path:
        """Write the folder that the command writes, with its report; `openretina render` draws the runs' pictures.

        Raises:
            SettingError: the folder cannot be written, or holds something.
            ArtifactError: the disk refuses.
        """
        folder = RunFolder(Path(directory).expanduser())
        folder.check()
        if folder.path.exists() and any(folder.path.iterdir()):
            raise SettingError(f"{folder.path} is not empty", expected="another folder")
        with folder.stage() as stage, folder.explained(ArtifactError):
            shutil.copytree(self.folder, stage, dirs_exist_ok=True)
            folder.publish(stage, None)
        write_report(folder.path)
        return folder.path

    def __repr__(self) -> str:
        return f"OptimizedMany({len(self._runs)} runs, {len(self)} of them finished)"

    def _repr_html_(self) -> str:
        shown = self.rows[:MOST_SHOWN]
        columns = [name for name in (shown[0] if shown else {}) if any(row[name] not in ("", None) for row in shown)]
        head = "".join(f'<th scope="col">{_shown(name)}</th>' for name in columns)
        cells = ("".join(f"<td>{_shown(row[name])}</td>" for name in columns) for row in shown)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        more = f"<p>and {len(self.rows) - MOST_SHOWN} more</p>" if len(self.rows) > MOST_SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _shown(value: object) -> str:
    return html.escape(one_line("" if value is None else str(value)))


def optimize_many(
    *words: str, model: Any = None, objective: Any = None, progress: bool = True, **settings: Any
) -> OptimizedMany:
    """Optimise many stimuli, as `openretina optimize -m` does with the same words.

        optimize_many("neuron=0..9", "seed=1,2")
        optimize_many(neuron=range(10), seed=[1, 2], objective="mdi", out="sweep")

    Args:
        words: overrides and flags of the command line.
        model: see `optimize`.
        objective: see `optimize`.
        progress: whether a bar is shown, in a terminal or a notebook.
        settings: settings by name. A list, tuple or range makes a run of each value, so that `neuron=[[1, 5], [2, 3]]`
            makes two runs for two neurons each. `out=DIR` says where the sweep goes, and runs that are finished there
            are not made again; without it the sweep lies in a temporary folder, and no pictures are drawn. Otherwise
            they are drawn in this process, as processes of their own would import the caller's script.

    Returns:
        What came out. A warning says how many runs failed; the table says why.

    Raises:
        OpenRetinaError: a mistake, in one line; or no run could be made.
    """
    with explained():
        call = read_call(words, {"model": model, "objective": objective, **settings}, sweeps=True)
        kept = Kept()
        call = call.with_words(**{"hydra.launcher.workers": 0})
        if not call.is_placed:
            call = call.with_words(out=temporary_folder(kept) / "sweep", output=list(READ_BACK))
        made = _made(call, progress)
        vars(made)["_kept"] = kept  # the folder lives as long as the result
        return made


def _made(call: Call, progress: bool) -> OptimizedMany:
    from openretina_cli.config.compose import read_arguments
    from openretina_cli.config.overrides import read_overrides
    from openretina_cli.run.command import own_sweep, sweep_frame
    from openretina_cli.terminal.console import BarConsole
    from openretina_cli.terminal.sweep import SweepConsole

    args, _ = read_arguments(["--multirun", *call.words])
    overrides = read_overrides(args.overrides, sweeps=True)
    frame, console = sweep_frame(args, overrides), SweepConsole(BarConsole(progress))
    run = own_sweep(args, overrides, frame, console, call.given)
    if run is None:
        raise SettingError(
            "a launcher or sweeper of Hydra's own is no part of Python's call", repair="openretina optimize -m"
        )
    with console.live():
        failure = run.make()
    made = OptimizedMany(str(frame.hydra.sweep.dir))
    if failure is not None:
        warnings.warn(f"{failure.problem}; the table of the result says why", stacklevel=4)
    return made
