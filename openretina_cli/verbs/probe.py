"""Show a model's cells chirp, bars, spots, noise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.completion import paths, starting
from openretina_cli.config.help import columns, group_lines, settings_of, shown_setting
from openretina_cli.config.paths import expand_word
from openretina_cli.store.package import config_directory
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Stages
from openretina_cli.terminal.tables import columns_table
from openretina_cli.text import one_line

if TYPE_CHECKING:  # mistakes are told before NumPy is there
    from openretina_cli.finding.probe_job import Probed

WRITES_FILES = True
MAXIMUM_WIDTH = 120
MOST_ROWS = 40
"""Neurons in the printed table."""
MOST_COLUMNS = 6
HELP = """\
usage: openretina probe [KEY=VALUE ...]

Show the field's standard stimuli to cells of a model: chirp, moving bars,
colour flashes, gratings, spots and annuli, white noise.

  openretina probe neuron=42
  openretina probe neuron=all figures=false out=probes
  openretina probe group=28 'probe=[chirp,bars]' probe.bars.speed_um_s=500
  openretina probe model=core_readout model.path=my.ckpt neuron=0..9
  openretina probe neuron=42 runs=outputs/sweep    the average against the MEI

All neurons are asked at once. Written, numbers first and whole or not at all:

  probe.csv      a row per neuron: direction and orientation selectivity with p,
                 size of the best spot, ON-OFF index and the others, empty where
                 a number means nothing
  probe.npz      the same with traces, tuning curves and averages
  probe.json     settings, model, and what stands for equal results
  neuron_N.png   a figure per neuron; with runs= also probe.png in the folder of
                 the cell's MEI, which the report of the runs shows

The same command with the same out= goes on where it was interrupted.
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples, and every setting."""
    del argv
    width = min(shutil.get_terminal_size((80, 24)).columns, MAXIMUM_WIDTH)
    folder = config_directory()
    names = sorted(path.stem for path in (folder / "probe").glob("*.yaml"))
    rows = (shown_setting(setting, "") for setting in settings_of(folder / "probe.yaml"))
    lines = [HELP, "Settings", *columns(rows, 2, width)]
    chosen = "[chirp,bars,flashes,gratings,spots,white_noise]"
    return "\n".join([*lines, *group_lines("probe", [folder], names, chosen, width), ""])


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders, models, probes and settings."""
    del before
    folder = config_directory()
    for name in ("out", "runs"):
        if word.startswith(f"{name}="):
            yield from (f"{name}={path}" for path in paths(word.removeprefix(f"{name}="), folders_only=True))
    probes = sorted((folder / "probe").glob("*.yaml"))
    models = (f"model={path.stem}" for path in (folder / "model").glob("*.yaml"))
    keys = [f"{setting.key}=" for setting in settings_of(folder / "probe.yaml")]
    keys += [f"probe.{setting.key}=" for path in probes for setting in settings_of(path)]
    yield from starting((*models, *(f"probe=[{path.stem}]" for path in probes), *keys), word)


def _print(done: Probed, console: SafeConsole) -> None:
    from openretina_cli.finding.probe_files import headlines
    from openretina_cli.finding.probing import OUTSIDE
    from openretina_cli.finding.runs import type_label

    rows = [headlines(done.probes, done.answers, row) for row in range(min(len(done.scene.neurons), MOST_ROWS))]
    titles = list(rows[0])[:MOST_COLUMNS]
    table = columns_table(("neuron", "type", *titles), ("neuron", *titles))
    for row, neuron in enumerate(done.scene.neurons[:MOST_ROWS]):
        cells = (f"{value:.3g}" if (value := rows[row][title]) == value else "-" for title in titles)
        table.add_row(str(neuron), one_line(type_label(done.scene.facts, done.session, neuron), 200), *cells)
    console.print(table)
    if len(done.scene.neurons) > MOST_ROWS:
        console.print(f"and {len(done.scene.neurons) - MOST_ROWS} more neurons in probe.csv", style="dim")
    for name, answer in done.answers.items():
        share = float(answer.axes[OUTSIDE])
        if share > 0:
            console.print(f"{share:.1%} of the values of {name} are outside the model's range", style="yellow")
    console.print(str(done.folder), style="bold", overflow="fold")


def run(argv: Sequence[str]) -> None:
    """Run `openretina probe` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or something that failed.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    from openretina_cli.finding.probe_settings import build_probes, compose_probe

    settings = compose_probe([expand_word(word) for word in argv])
    probes = build_probes(settings)
    from openretina_cli.store.probe_folder import ProbeFolder

    folder = ProbeFolder(Path(settings.out).expanduser(), settings.overwrite)
    folder.check()
    console = make_console()
    from openretina_cli.finding.command import load_model, show_on_page
    from openretina_cli.finding.probe_job import TRIED_FRAMES, run_probes
    from openretina_cli.run.model import choose_device

    retina = load_model(settings.model, TRIED_FRAMES, choose_device(settings.device), console)
    with Stages(console) as report:
        done = run_probes(settings, probes, folder, retina, report)
    if done is None:
        console.print(f"{folder.path} holds all of this; overwrite=true makes it anew", overflow="fold")
    else:
        _print(done, console)
        if settings.runs is not None:
            show_on_page(Path(settings.runs).expanduser(), console)
