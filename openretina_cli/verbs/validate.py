"""Judge stimuli by a simulation or held-out members."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from openretina_cli import completion
from openretina_cli.config.paths import expand_home, expand_word
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.store.folder import RunFolder
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Stages
from openretina_cli.terminal.run import RunConsole, print_note
from openretina_cli.terminal.tables import columns_table
from openretina_cli.text import one_line

if TYPE_CHECKING:  # mistakes are told before torch is there
    import torch

    from openretina_cli.config.settings import Settings
    from openretina_cli.models.retina import Retina
    from openretina_cli.validation.held_out import Rescored
    from openretina_cli.validation.verdict import TypeSummary, Validation

HELD_OUT = "--held-out"
MOST_REASONS = 20
"""Lines of reasons; those of a broken sweep are much alike."""

WRITES_FILES = True
HELP = """\
usage: openretina validate [KEY=VALUE ...]
       openretina validate DIR [DIR ...] [out=FOLDER]
       openretina validate --held-out [KEY=VALUE ...]

Judge optimised stimuli by what they are for.

The bundled model is a twin of a simulated retina, whose true responses are
known for every stimulus. Stimuli found on the twin are played to it.
No class that a folder names is imported: runs of such classes are refused, and
so are those whose files (a movie, a mask, a target) have changed since.

  openretina validate                        every cell of both sessions
  openretina validate neuron=0..9 stimulus.norm=30 out=outputs/check
  openretina validate outputs/2026-11-22     the finished runs in a folder
  openretina validate --held-out model=hoefling_2024 neuron=[42,43]

Settings are those of openretina optimize; neuron=[...] means each alone, and
without neuron every cell is meant. Written are validation.csv, a row per
stimulus, and validation.png; from folders, only where out= says so.

  gain      (response - grey) / (best response known - grey)
  natural   gain of the best of 500 natural clips, windowed to the cell, of the
            same norm and range
  pct       percentile: percent of these clips that the stimulus beats
  cosine    with the stimulus that the truth itself leads to

--held-out works for every ensemble, model=torch_module with several files of
model.weights or a ModuleList called members among them: it optimises on all
members but one and scores on that one, for each in turn, and writes
held_out.csv.
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders, the flag, and the settings of `openretina optimize`."""
    yield from completion.paths(word, folders_only=True)
    yield from completion.starting([HELD_OUT], word)
    yield from completion.settings([text for text in before if text != HELD_OUT], word)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _summary_cells(summary: TypeSummary) -> list[str]:
    return [
        str(len(summary.rows)),
        _number(summary.mean(lambda row: row.gain)),
        _number(summary.worst_gain),
        _number(summary.mean(lambda row: row.natural_gain)),
        f"{summary.above_natural}/{len(summary.rows)}",
        f"{summary.mean(lambda row: row.percentile):.1f}",
        _number(summary.mean(lambda row: row.cosine)),
        _number(summary.times_grey),
    ]


def _print_validation(rows: Sequence[Validation], console: SafeConsole) -> None:
    from openretina_cli.validation.verdict import TypeSummary, by_type

    numbers = ("cells", "gain", "worst", "natural", "above", "pct", "cosine", "x grey")
    table = columns_table(("type", *numbers), numbers)
    several = len({row.objective for row in rows}) > 1
    summaries = by_type(rows)
    for summary in summaries:
        label = f"{summary.label} ({summary.objective})" if several else summary.label
        table.add_row(one_line(label, 200), *_summary_cells(summary))
    kinds = [summary.objective for summary in summaries]
    for kind in (kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1):
        whole = TypeSummary("all", kind, tuple(row for row in rows if row.objective == kind))
        table.add_row(f"all ({kind})" if several else "all", *_summary_cells(whole), style="bold")
    console.print(table)
    console.print("above: beats the best natural clip; pct: percentile among the natural clips", style="dim")
    console.print("x grey: response / response to grey", style="dim")


def _print_held_out(rows: Sequence[Rescored], console: SafeConsole) -> None:
    numbers = ("neuron", "own members", "held out", "ratio", "fine")
    table = columns_table(("session", *numbers), numbers)
    for row in rows:
        own, held, fine = (fmean(side) for side in (row.own, row.held_out, row.fine))
        cells = (f"{own:.4g}", f"{held:.4g}", _number(row.ratio), f"{fine:.1%}")
        table.add_row(one_line(row.session, 200), str(row.neuron), *cells)
    console.print(table)
    console.print("fine: share of the stimulus' power above 0.25 cycles per pixel", style="dim")
    held, fine = (fmean(value for row in rows for value in getattr(row, side)) for side in ("held_out", "fine"))
    console.print(f"mean ratio of held out to own: {fmean(row.ratio for row in rows):.3f}", style="bold")
    console.print(f"mean objective of held-out members: {held:.4g}; fine: {fine:.1%}", style="bold")


def _print_paths(paths: Sequence[Path], console: SafeConsole) -> None:
    for path in paths:
        console.print(str(path), overflow="fold")


def _output(path: Path, overwrite: bool) -> RunFolder:
    """The folder to write into.

    Raises:
        SettingError: it cannot be written, or holds something already.
    """
    folder = RunFolder(path)
    folder.check()
    if folder.result is not None:
        raise SettingError(f"out={path} holds a run", expected="a folder of its own", repair="another out=")
    taken = [name for name in ("validation.csv", "held_out.csv") if (path / name).exists()]
    if taken and not overwrite:
        raise SettingError(f"out={path} holds a {taken[0]}", repair="another out=, or overwrite=true")
    return folder


def _build(settings: Settings, console: SafeConsole) -> tuple[Retina, torch.device]:
    from openretina_cli.run.model import build_model, choose_device

    device = choose_device(settings.device)
    shown = RunConsole(console)
    with shown.live():
        retina = build_model(settings.model, settings.frames, device, shown.download)
    console.print(f"{one_line(retina.facts.name)}  [{device}]", style="bold")
    print_note(retina.facts, console)
    return retina, device


def _names_neurons(overrides: Sequence[str]) -> bool:
    return any(text.replace(" ", "").startswith(("neuron=", "objective.neuron=")) for text in overrides)


def _validate_cells(overrides: Sequence[str], console: SafeConsole) -> None:
    from openretina_cli.config.compose import compose_settings

    settings = compose_settings(overrides)
    folder = _output(Path(settings.out), settings.overwrite)
    from openretina_cli.simulation.retina import SimulatedRetina
    from openretina_cli.validation.bench import validate_stimuli
    from openretina_cli.validation.cells import about_one_cell, optimize_cells, plan_cells
    from openretina_cli.validation.report import write_validation
    from openretina_cli.validation.run_folders import check_places, check_twin

    about_one_cell(settings)
    check_places(settings)
    retina, device = _build(settings, console)
    truth = SimulatedRetina().to(device)
    check_twin(retina.facts, truth)
    plans = plan_cells(settings, retina, list(truth.facts.sessions), device, _names_neurons(overrides))
    with Stages(console) as report:
        rows = validate_stimuli(optimize_cells(plans, report), truth, report)
    _print_validation(rows, console)
    _print_paths(write_validation(rows, folder), console)


def _validate_folders(folders: Sequence[str], overrides: Sequence[str], console: SafeConsole) -> None:
    places = dict(text.partition("=")[::2] for text in overrides)
    if other := [name for name in places if name not in ("out", "overwrite")]:
        raise SettingError(f"{other[0]} does not go with folders, whose runs have their own settings")
    folder = _output(Path(expand_home(places["out"])), places.get("overwrite") == "true") if "out" in places else None
    import torch

    from openretina_cli.simulation.retina import SimulatedRetina
    from openretina_cli.validation.bench import validate_stimuli
    from openretina_cli.validation.report import write_validation
    from openretina_cli.validation.run_folders import of_simulation, read_candidate, read_results

    results, errors = read_results([Path(name) for name in folders])
    runs = of_simulation(results) if results else []
    if len(runs) < len(results):
        console.print(f"{len(results) - len(runs)} runs of other models are left out", style="dim")
    truth = cache(
        SimulatedRetina
    )  # calibrating the simulation takes 3 s, which runs that are refused need not wait for
    candidates = []
    for run in runs:
        try:
            candidates.append(read_candidate(run, truth, torch.device("cpu")))
        except OpenRetinaError as error:
            errors.append(error)
    if not candidates:
        raise errors[0]
    with Stages(console) as report, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of numbers that overflow
        rows = validate_stimuli(candidates, truth(), report)
    _print_validation(rows, console)
    if folder is not None:
        _print_paths(write_validation(rows, folder), console)
    _tell_refused(errors, len(candidates), console)


def _tell_refused(errors: Sequence[OpenRetinaError], judged: int, console: SafeConsole) -> None:
    """Print why runs were not judged, a line each.

    Raises:
        ArtifactError: there are such runs.
    """
    for error in errors[:MOST_REASONS]:
        console.print(one_line(str(error)), style="yellow", overflow="fold")
    if errors:
        raise ArtifactError(f"{len(errors)} of {len(errors) + judged} runs could not be judged")


def _held_out(overrides: Sequence[str], console: SafeConsole) -> None:
    from openretina_cli.config.compose import compose_settings

    settings = compose_settings(overrides)
    folder = _output(Path(settings.out), settings.overwrite)
    from openretina_cli.validation.cells import plan_cells
    from openretina_cli.validation.held_out import rescore_held_out
    from openretina_cli.validation.report import write_held_out

    retina, device = _build(settings, console)
    session = next(iter(retina.facts.sessions))  # a published checkpoint has dozens; one is named, or the first meant
    chosen = _names_neurons(overrides)
    plan = partial(plan_cells, settings, sessions=[session], device=device, chosen=chosen)
    with Stages(console) as report:
        rows = rescore_held_out(retina, plan, report)
    _print_held_out(rows, console)
    _print_paths(write_held_out(rows, folder), console)


def run(argv: Sequence[str]) -> None:
    """Run `openretina validate` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or something that failed.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    console = make_console()
    words = [expand_word(text) for text in argv if text != HELD_OUT]
    folders = [text for text in words if Path(text).is_dir() or not ("=" in text or text.startswith("-"))]
    overrides = [text for text in words if text not in folders]
    if folders and HELD_OUT in argv:
        raise SettingError(f"{HELD_OUT} optimises anew, so it takes no folder", expected="KEY=VALUE")
    if folders:
        _validate_folders(folders, overrides, console)
    elif HELD_OUT in argv:
        _held_out(overrides, console)
    else:
        _validate_cells(overrides, console)
