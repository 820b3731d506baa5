"""List the known checkpoints, show or download one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from openretina_cli import completion, neighbour
from openretina_cli.checks import closest
from openretina_cli.config.help import title_of
from openretina_cli.errors import SettingError
from openretina_cli.models.download import RemoteCheckpoint, fetch, is_complete
from openretina_cli.models.published import model_settings, packaged_models, remote_of
from openretina_cli.store.package import config_directory
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.run import RunConsole
from openretina_cli.terminal.tables import columns_table, facts_table
from openretina_cli.text import one_line
from openretina_cli.web_address import is_web_address

if TYPE_CHECKING:  # a list of names must not wait for torch
    import torch

    from openretina_cli.config.settings import Settings
    from openretina_cli.models.facts import ModelFacts
    from openretina_cli.models.retina import Retina

FETCH = "fetch"
LAYERS = "--layers"
LONGEST_WHOLE = 32
"""Characters of a session's name up to which a table breaks its other columns instead."""
HELP = """\
usage: openretina models [NAME [KEY=VALUE ...] [--layers]]
       openretina models fetch NAME

List the known checkpoints, show what one of them holds, or download one.

  openretina models                    known checkpoints, which of them here
  openretina models NAME [KEY=VALUE ..] what one holds: sessions, neurons, cell
                                       types, input shape
  openretina models FILE.ckpt          the same of a checkpoint of yours
  openretina models NAME --layers      inner layers, for objective=unit, with
                                       the shape of what each answers
  openretina models fetch NAME         download a checkpoint, for machines
                                       without a network
"""


def help_text(argv: Sequence[str]) -> str:
    """The arguments, with examples."""
    del argv
    return HELP


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Models, and the settings of the one that is named."""
    known = known_models()
    if not before:
        yield from completion.starting([FETCH, *known], word)
    elif list(before) == [FETCH]:
        yield from completion.starting((name for name, model in known.items() if model.remote is not None), word)
    elif before[0] in known:
        chosen = completion.settings([f"model={before[0]}", *before[1:]], word or "model.")
        yield from completion.starting([LAYERS, *chosen], word if word.startswith("-") else "model.")


@dataclass(frozen=True)
class Known:
    """One option of the config group `model`."""

    name: str
    title: str
    bundled: bool
    remote: RemoteCheckpoint | None

    @property
    def whereabouts(self) -> str:
        """Whether its files are on this machine."""
        if self.remote is None:
            return "in the package" if self.bundled else "yours"
        return "on this machine" if is_complete(self.remote) else "not here"


def _known(name: str, settings: Mapping[str, Any]) -> Known:
    bundled = not {"path", "module"} & settings.keys()
    return Known(name, title_of(config_directory() / "model" / f"{name}.yaml"), bundled, remote_of(settings))


def known_models() -> dict[str, Known]:
    """The models of the packaged configs, by name."""
    return {name: _known(name, settings) for name, settings in packaged_models().items()}


def _print_list(console: SafeConsole) -> None:
    table = columns_table(("model", "what it is", "files"))
    for known in known_models().values():
        table.add_row(known.name, known.title, known.whereabouts)
    console.print(table)
    if lost := neighbour.lost_name():
        console.print(lost, style="yellow")
    console.print("openretina models NAME shows what one holds", style="dim")
    console.print("openretina models fetch NAME downloads one that is not here", style="dim")
    console.print("openretina optimize model=NAME uses one, and downloads it where needed", style="dim")


def _find(name: str) -> Known:
    models = known_models()
    if name not in models:
        raise SettingError(f"there is no model {name}", expected=closest(name, models))
    return models[name]


def _fetch(names: Sequence[str], console: SafeConsole) -> None:
    if len(names) != 1:
        raise SettingError(f"{FETCH} takes one model, not {len(names)}", repair="openretina models fetch hoefling_2024")
    remote = RemoteCheckpoint.single(names[0]) if is_web_address(names[0]) else _find(names[0]).remote
    if remote is None:
        raise SettingError(f"{names[0]} has no published files", expected="a model that can be downloaded")
    shown = RunConsole(console)
    with shown.live():
        folder = fetch(remote, report=shown.download)
    console.print(f"{remote.name} is in {folder}", overflow="fold")


def _group_text(facts: ModelFacts, session: str) -> str:
    """Number of neurons by cell-type group, with the names of the groups where the checkpoint has names."""
    counts = sorted(Counter(facts.groups.get(session, ())).items())
    names = {group: f"{one_line(name, 200)} ({group})" for group, name in facts.group_names.items()}
    return ", ".join(f"{names.get(group, group)}: {count}" for group, count in counts) or "unknown"


def _quality_text(facts: ModelFacts, session: str) -> str:
    known = sorted(value for value in facts.quality.get(session, ()) if value is not None)
    return f"{known[0]:.3g} to {known[-1]:.3g}, {median(known):.3g}" if known else "unknown"


def _range_rows(facts: ModelFacts) -> list[tuple[str, str]]:
    levels = facts.grey_levels
    known = "unknown" if levels is None else f"mean {levels[0]:g}, standard deviation {levels[1]:g}"
    pairs = zip(facts.channels, facts.stimulus_range or (), strict=False)
    ranges = ", ".join(f"{name} {_limit(low)} to {_limit(high)}" for name, (low, high) in pairs)
    return [("grey levels", known), ("range", f"{ranges} s.d." if ranges else "unknown")]


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:.4g}"


def _print_facts(facts: ModelFacts, console: SafeConsole) -> None:
    rate = "unknown" if facts.frame_rate is None else f"{facts.frame_rate:g} Hz"
    pixel = "unknown" if facts.pixel_size is None else f"{facts.pixel_size:g} um"
    channels = f"{len(facts.channels)} channel{'s' if len(facts.channels) > 1 else ''} ({', '.join(facts.channels)})"
    rows = [("model", facts.name), ("source", facts.source), ("sha256", facts.sha256 or "no files")]
    rows += [("stimulus", f"{channels} x time x {facts.height} x {facts.width} pixels")]
    rows += [("lag", f"{facts.lag} frames"), ("frame rate", rate), ("pixel size", pixel)]
    rows += _range_rows(facts)
    rows += [("species", facts.species)] if facts.species else []
    rows += [("members", str(facts.members))] if facts.members > 1 else []
    rows += [("quality", facts.quality_metric)] if facts.quality_metric else []
    rows += [("response", f"once in {facts.response_stride} frames")] if facts.response_stride > 1 else []
    rows += [("note", facts.note)] if facts.note else []
    console.print(facts_table(rows))
    optional = [("cell-type groups", facts.groups, _group_text), ("quality, median", facts.quality, _quality_text)]
    columns = {name: text for name, known, text in optional if known}
    fits = max(map(len, facts.sessions)) <= LONGEST_WHOLE
    sessions = columns_table(("session", "neurons", *columns), whole=("session", "neurons") if fits else ())
    for session, neurons in facts.sessions.items():
        cells = [text(facts, session) for text in columns.values()]
        sessions.add_row(one_line(session, 200), f"{neurons} (0 to {neurons - 1})", *cells)
    console.print(sessions)


def _print_layers(retina: Retina, settings: Settings, device: torch.device, console: SafeConsole) -> None:
    from openretina_cli.models.layers import layer_shapes
    from openretina_cli.models.probe import probe_stimulus
    from openretina_cli.objective.cells import choose_session

    session = choose_session(retina.facts, settings.session)
    stimulus = probe_stimulus(retina.facts, settings.frames, device)
    table = columns_table(("layer", "shape of what it answers to one stimulus"))
    for layer, shape in layer_shapes(retina, partial(retina, stimulus, data_key=session)).items():
        table.add_row(one_line(layer, 200), " x ".join(map(str, shape)))
    console.print(table)
    frames = f"{settings.frames} frames of session {session}"
    console.print(f"to {frames}; objective=unit objective.layer=LAYER optimises for one", style="dim")


def _show(name: str, words: Sequence[str], console: SafeConsole) -> None:
    chosen = [f"{key}={value}" for key, value in model_settings(name).items()]
    overrides = [word for word in words if word != LAYERS]
    from openretina_cli.config.compose import compose_settings

    settings = compose_settings([*chosen, *overrides])
    from openretina_cli.run.model import build_model, choose_device  # torch, only where a checkpoint is opened

    shown = RunConsole(console)
    with shown.live():
        device = choose_device(settings.device)
        retina = build_model(settings.model, settings.frames, device, shown.download)
    if LAYERS in words:
        _print_layers(retina, settings, device, console)
    else:
        _print_facts(retina.facts, console)


def run(argv: Sequence[str]) -> None:
    """Run `openretina models` with its arguments.

    Raises:
        OpenRetinaError: there is no such model, or it cannot be fetched or opened.
    """
    console = make_console()
    if not argv:
        _print_list(console)
    elif argv[0] == FETCH:
        _fetch(argv[1:], console)
    else:
        _show(argv[0], argv[1:], console)
