"""Play optimised stimuli to all cell types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.checks import closest, one_of
from openretina_cli.completion import paths, starting
from openretina_cli.config.paths import expand_home
from openretina_cli.errors import OpenRetinaError, SettingError
from openretina_cli.finding.command import (
    Opened,
    Words,
    basis,
    load_model,
    open_runs,
    output_folder,
    read_words,
    show_on_page,
    tell_left_out,
    typed_model,
    whole,
)
from openretina_cli.store.digest import digest_of_file
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.tables import columns_table
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from openretina_cli.finding.natural import Control
    from openretina_cli.finding.runs import Stimulus
    from openretina_cli.finding.types import TypeTable
    from openretina_cli.models.retina import Retina

MOST_ROWS = 40
"""Types in the printed table."""
WRITES_FILES = True
MOST_CLIPS = 10_000
"""Natural clips; of 2 x 50 x 18 x 16 values they take 1.2 GB."""
NAMES = ("session", "normalise", "natural", "movie", "device", "out")
HELP = """\
usage: openretina respond DIR [KEY=VALUE ...]

Play the stimuli of the finished runs in a folder to every neuron, and say whom
each of them drives.

  openretina respond outputs/sweep               neurons of the runs' sessions
  openretina respond outputs/sweep session=all   neurons of all sessions
  openretina respond outputs/sweep normalise=share
  openretina respond outputs/sweep natural=500
  openretina respond outputs/sweep against=simulated_retina against.members=[4]

  session=           a session, or all; by default those of the runs
  normalise=zscore   what the figure and the printed table show: raw, zscore (of
                     a neuron over stimuli), share (of the response to the
                     stimulus made for the neuron, else for its type)
  natural=0          natural clips that each stimulus is compared with: of its
                     norm, windowed to its centre, under the run's constraints,
                     scored by the run's objective (500 take some seconds each)
  movie=FILE         where the clips are from: .pt or .npy, z-scored, (clip,
                     channel, time, height, width); by default, for the
                     simulated retina, the generator of its movies
  model=NAME         the model that is asked, with model.KEY=VALUE; by default
                     the one that the runs were made with
  against=NAME       another model with the same neurons, to compare
  device=auto        auto, cpu, cuda or mps
  out=DIR            where the files go; by default into DIR

Written, each whole or not at all, and anew every time (204 neurons and 204
stimuli of the bundled model take some seconds; a comparison with natural clips
that a run's result has already is not made again):

  responses.csv        a row per stimulus and neuron
  response_matrix.npz  raw, zscore, share (neuron, stimulus), the spread over
                       members, and the names of rows and columns
  selectivity.csv      a row per stimulus: own type against the best other, AUC,
                       and whether it drives another type more than its own
  confusion.csv        the share of each type's neurons that the stimuli made
                       for each type drive most
  response_matrix.png  all of it, ordered by type
  natural.csv          with natural=: every stimulus and the best clip as its
                       baseline; also recorded in the runs' result.json, from
                       where summary.csv and the page take it, unless out= is
                       elsewhere
  respond.finding.json what the page of openretina report shows of it

A response is the mean over the response frames that its run optimised. No class
that a folder names is imported: for runs of a class of yours type model=.
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Folders and settings."""
    del before
    yield from paths(word, folders_only=True)
    yield from starting((f"{name}=" for name in (*NAMES, "model", "against")), word)


def _sessions(text: str | None, retina: Retina, stimuli: Sequence[Stimulus]) -> list[str]:
    """The sessions that are asked, in the order of the checkpoint.

    Raises:
        SettingError: the model has no such session.
    """
    known = list(retina.facts.sessions)
    if text == "all":
        return known
    if text is None:
        used = {stimulus.result.session for stimulus in stimuli}
        return [session for session in known if session in used]
    if text not in known:
        raise SettingError(f"session={text} is not in {retina.facts.name}", expected=closest(text, [*known, "all"]))
    return [text]


def _check_same(retina: Retina, other: Retina, sessions: Sequence[str]) -> None:
    """Refuse a model whose neurons or stimuli are others.

    Raises:
        SettingError: a session, a number of neurons or the shape of stimuli differs.
    """
    for session in sessions:
        have, has = retina.facts.sessions[session], other.facts.sessions.get(session)
        if have != has:
            found = "no such session" if has is None else f"{has} neurons in it"
            raise SettingError(
                f"against={other.facts.name} has {found}, and {retina.facts.name} has {have} in {session}",
                expected="a model of the same neurons",
            )
    shapes = [(len(m.facts.channels), m.facts.height, m.facts.width) for m in (retina, other)]
    if shapes[0] != shapes[1]:
        raise SettingError(
            f"against={other.facts.name} takes stimuli of {shapes[1]}", expected=f"{shapes[0]} (channel, height, width)"
        )


def _print_types(table: TypeTable, normalisation: str, console: SafeConsole) -> None:
    header, *rows = table.rows
    shown = columns_table(header, header[1:-1])
    for label, *cells, strongest in rows[:MOST_ROWS]:
        shown.add_row(one_line(label, 200), *cells, one_line(strongest, 200))
    console.print(shown)
    console.print(table.words, style="bold")
    console.print(table.trapped)
    console.print(
        f"own: mean of the type ({normalisation}); AUC: against the strongest other type; other more: stimuli that "
        "drive another type more; own most: share of its neurons driven most by them",
        style="dim",
    )


def _natural(words: Words) -> int:
    """How many natural clips are asked for.

    Raises:
        SettingError: the number is none, or a movie is given without one.
    """
    count = whole("natural", words.settings.get("natural", "0"), 0, MOST_CLIPS)
    if "movie" in words.settings and count == 0:
        raise SettingError("movie= is where natural clips are from, and none are asked for", repair="natural=500")
    return count


def _controls(
    words: Words, opened: Opened, kept: bool, console: SafeConsole
) -> tuple[list[Control], list[OpenRetinaError]]:
    """Play natural clips where they are asked for; what was found of a run is kept in its result at once.

    Raises:
        SettingError: the clips cannot be had.
    """
    count, movie = _natural(words), words.settings.get("movie")
    if count == 0:
        return [], []
    from openretina_cli.finding.natural import clips_for, control, record, recorded_control

    clips = cache(lambda frames: clips_for(opened.retina.facts, movie, frames, count))
    clips(opened.frames)  # a mistake about the movie is told before any work
    film = None if movie is None else digest_of_file(Path(expand_home(movie)))
    found: list[Control] = []
    errors: list[OpenRetinaError] = []
    with Bar(console, "playing natural clips", len(opened.stimuli)) as bar:
        for done, stimulus in enumerate(opened.stimuli, 1):
            try:
                of = basis(opened, stimulus, clips=count, movie=film)
                one = recorded_control(stimulus, of)
                if one is None:
                    frames = stimulus.values(opened.retina.facts).shape[1]
                    one = control(opened.retina, stimulus, clips(frames), opened.device, opened.typed)
                    if kept:
                        record(one, stimulus, of)
                found.append(one)
            except OpenRetinaError as error:
                errors.append(error)
            bar.move(done)
    return found, errors


def run(argv: Sequence[str]) -> None:
    """Run `openretina respond` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or something that failed.
        Exception: an error of Hydra's about a model's settings, which `config.errors.explain` puts into a sentence.
    """
    words = read_words(argv, "respond", NAMES, ("model", "against"))
    normalisation = words.settings.get("normalise", "zscore")
    one_of("normalise", normalisation, ("raw", "zscore", "share"))
    out = output_folder(words, words.folder)
    _natural(words)
    against = typed_model(words.models["against"])
    console = make_console()
    opened = open_runs(words, console)
    from openretina_cli.finding.matrix import respond
    from openretina_cli.finding.matrix_files import write_responses
    from openretina_cli.finding.types import type_table

    retina, stimuli, device = opened.retina, opened.stimuli, opened.device
    sessions = _sessions(words.settings.get("session"), retina, stimuli)
    other = None if against is None else load_model(against, opened.frames, device, console)
    if other is not None:
        _check_same(retina, other, sessions)
    with Bar(console, "playing stimuli", len(stimuli)) as bar:
        responses = respond(retina, stimuli, sessions, device, bar.move)
        compared = None if other is None else respond(other, stimuli, sessions, device, bar.move)
    found, errors = _controls(words, opened, out == words.folder, console)
    table = type_table(responses, normalisation, {one.stimulus: one.percentile for one in found})
    written = write_responses(responses, compared, found, table, normalisation, out)
    _print_types(table, normalisation, console)
    for path in written:
        console.print(str(path), overflow="fold")
    show_on_page(words.folder, console)
    tell_left_out(opened, console, errors, "comparison with natural clips")
