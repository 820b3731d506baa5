"""Play optimised stimuli to all cell types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from openretina_cli.checks import closest, one_of
from openretina_cli.completion import paths, starting
from openretina_cli.errors import SettingError
from openretina_cli.finding.command import load_model, open_runs, output_folder, read_words, tell_left_out, typed_model
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.tables import columns_table
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from openretina_cli.finding.matrix import Responses
    from openretina_cli.finding.runs import Stimulus
    from openretina_cli.models.retina import Retina

MOST_ROWS = 40
"""Types in the printed table."""
WRITES_FILES = True
NAMES = ("session", "normalise", "device", "out")
HELP = """\
usage: openretina respond DIR [KEY=VALUE ...]

Play the stimuli of the finished runs in a folder to every neuron, and say whom
each of them drives.

  openretina respond outputs/sweep               neurons of the runs' sessions
  openretina respond outputs/sweep session=all   neurons of all sessions
  openretina respond outputs/sweep normalise=share
  openretina respond outputs/sweep against=simulated_retina against.members=[4]

  session=           a session, or all; by default those of the runs
  normalise=zscore   what the figure and the printed table show: raw, zscore (of
                     a neuron over stimuli), share (of the response to the
                     stimulus made for the neuron, else for its type)
  model=NAME         the model that is asked, with model.KEY=VALUE; by default
                     the one that the runs were made with
  against=NAME       another model with the same neurons, to compare
  device=auto        auto, cpu, cuda or mps
  out=DIR            where the files go; by default into DIR

Written, each whole or not at all, and anew every time (204 neurons and 204
stimuli of the bundled model take some seconds):

  responses.csv        a row per stimulus and neuron
  response_matrix.npz  raw, zscore, share (neuron, stimulus), the spread over
                       members, and the names of rows and columns
  selectivity.csv      a row per stimulus: own type against the best other, AUC,
                       and whether it drives another type more than its own
  confusion.csv        the share of each type's neurons that the stimuli made
                       for each type drive most
  response_matrix.png  all of it, ordered by type

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


def _print_types(responses: Responses, normalisation: str, console: SafeConsole) -> None:
    from openretina_cli.analysis.response_matrix import confusion, selectivities

    matrix = responses.normalised()[normalisation]
    found = selectivities(matrix, responses.row_types, responses.exciting_types)
    types, kinds, shares = confusion(responses.mean, responses.row_types, responses.exciting_types)
    numbers = ("stimuli", "own", "AUC", "other more", "own most")
    table = columns_table(("type", *numbers, "strongest other"), numbers)
    own_best = 0
    for label in kinds:
        mine = [one for one, t in zip(found, responses.exciting_types, strict=True) if t == label]
        row = shares[types.index(label)] if label in types else None
        share = "-" if row is None else f"{row[kinds.index(label)]:.2f}"
        own_best += row is not None and int(row.argmax()) == kinds.index(label)
        means, areas = (sum(values) / len(mine) for values in ([o.own for o in mine], [o.auc for o in mine]))
        others = [one.other_type for one in mine]
        strongest = max(dict.fromkeys(others), key=others.count)
        cells = (str(len(mine)), f"{means:.3g}", f"{areas:.2f}", str(sum(one.trapped for one in mine)), share)
        if table.row_count < MOST_ROWS:
            table.add_row(one_line(label, 200), *cells, one_line(strongest, 200))
    console.print(table)
    trapped = sum(one.trapped for one, label in zip(found, responses.exciting_types, strict=True) if label)
    console.print(f"{own_best} of {len(kinds)} types are driven most by the stimuli made for them", style="bold")
    console.print(
        f"{trapped} of {sum(map(bool, responses.exciting_types))} stimuli drive another type more than their own"
    )
    console.print(
        f"own: mean of the type ({normalisation}); AUC: against the strongest other type; other more: stimuli that "
        "drive another type more; own most: neurons driven most by them",
        style="dim",
    )


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
    against = typed_model(words.models["against"])
    console = make_console()
    opened = open_runs(words, console)
    from openretina_cli.finding.matrix import respond
    from openretina_cli.finding.matrix_files import write_responses

    retina, stimuli, device = opened.retina, opened.stimuli, opened.device
    sessions = _sessions(words.settings.get("session"), retina, stimuli)
    other = None if against is None else load_model(against, opened.frames, device, console)
    if other is not None:
        _check_same(retina, other, sessions)
    with Bar(console, "playing stimuli", len(stimuli)) as bar:
        responses = respond(retina, stimuli, sessions, device, bar.move)
        compared = None if other is None else respond(other, stimuli, sessions, device, bar.move)
    written = write_responses(responses, compared, normalisation, out)
    _print_types(responses, normalisation, console)
    for path in written:
        console.print(str(path), overflow="fold")
    tell_left_out(opened, console)
