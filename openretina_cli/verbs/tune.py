"""Tune around an optimum: contrast, colour, size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from openretina_cli.completion import paths, starting
from openretina_cli.errors import OpenRetinaError, RunError
from openretina_cli.finding.command import (
    basis,
    open_runs,
    output_folder,
    read_words,
    show_on_page,
    tell_left_out,
    truth,
    whole,
)
from openretina_cli.terminal.console import make_console
from openretina_cli.terminal.progress import Bar

WRITES_FILES = True
NAMES = ("points", "reoptimise", "overwrite", "device", "out")
HELP = """\
usage: openretina tune DIR [KEY=VALUE ...]

Vary the stimulus of every finished run in a folder, and record how its own
neurons respond.

  openretina tune outputs/sweep
  openretina tune outputs/sweep/neuron=42 points=21

  points=11      points along each axis of the colour grid, 3 to 51 (Hoefling et
                 al. 2024, Fig. 5: 11); other curves have 2 * points - 1
  reoptimise=false   true solves the run again at 0.25, 0.5, 1, 1.5 and 2 times
                 its norm, each from its own stimulus scaled to that norm
  model=NAME     the model that is asked, with model.KEY=VALUE; by default the
                 one that the runs were made with
  overwrite=false    true tunes those runs anew that are tuned already
  device=auto    auto, cpu, cuda or mps
  out=FOLDER     where the files go, in a folder per run; by default into the
                 folder of each run

Written for each run, all or none, about a second for each; the same command
goes on where it was stopped, and a run or a setting that changed is tuned anew
(with model= every time, as the code of a model may have changed):

  tuning.csv     a row per point, with the share of its values outside the
                 model's range
  tuning.png     the same as a figure; points outside the range are open
  tune.finding.json   what the page of openretina report shows of it

  contrast   the same shape, at norms from zero to twice its own
  reoptimised   with reoptimise=true, the best stimulus of each norm
  colour     each channel from -1 to 1 at equal norm, with iso-response lines
             and the gradient; every pair of channels, the others at 1
  size       discs around the pixel of most energy, grey outside
  time, right, down   shifts by whole frames and pixels; grey moves in

A response is the mean over the run's neurons and the response frames that it
optimised. No class that a folder names is imported: for runs of a class of
yours type model=.
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders and settings."""
    del before
    yield from paths(word, folders_only=True)
    yield from starting((f"{name}=" for name in (*NAMES, "model")), word)


def run(argv: Sequence[str]) -> None:
    """Run `openretina tune` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or something that failed.
        Exception: an error of Hydra's about a model's settings, which `config.errors.explain` puts into a sentence.
    """
    words = read_words(argv, "tune", NAMES, ("model",))
    points = whole("points", words.settings.get("points", "11"), 3, 51)
    again, anew = (truth(name, words) for name in ("reoptimise", "overwrite"))
    out = output_folder(words, words.folder)
    console = make_console()
    opened = open_runs(words, console)
    from openretina_cli.finding.tuning import Tuner
    from openretina_cli.finding.tuning_files import is_tuned, write_tuning

    for session in dict.fromkeys(stimulus.result.session for stimulus in opened.stimuli):
        opened.retina.examine(session)
    written: list[Path] = []
    errors: list[OpenRetinaError] = []
    kept = 0
    with Bar(console, "tuning", len(opened.stimuli)) as bar:
        for done, stimulus in enumerate(opened.stimuli, 1):
            of = basis(opened, stimulus, points=points, reoptimise=again)
            if not anew and is_tuned(out / stimulus.name, of):
                kept += 1
                continue
            try:
                tuner = Tuner(opened.retina, stimulus, opened.device, points)
                curves = [*tuner.all(), *([tuner.reoptimised(opened.typed)] if again else [])]
            except OpenRetinaError as error:
                errors.append(RunError(f"{stimulus.name}: {error.problem}", expected=error.expected))
                continue
            named = "" if stimulus.name == "." else f"{stimulus.name}: "
            title = f"{named}{stimulus.result.title}"
            written += write_tuning(curves, title, out / stimulus.name, of)
            bar.move(done)
    tuned = f"{len(opened.stimuli) - len(errors)} of {len(opened.stimuli)} runs tuned"
    console.print(tuned + (f", {kept} of them before" if kept else ""), style="bold")
    for path in written[:3]:
        console.print(str(path), overflow="fold")
    if len(written) > 3:
        console.print(f"and {len(written) - 3} more files beside the other runs", style="dim")
    show_on_page(words.folder, console)
    tell_left_out(opened, console, errors, "tuning")
