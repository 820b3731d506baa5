"""What the verbs that play stimuli of finished runs again share: words, model, runs, and what is printed of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from openretina_cli.checks import closest, one_of, require
from openretina_cli.config.paths import expand_home, expand_word
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.finding.files import check_folder
from openretina_cli.store.digest import digest_of_file
from openretina_cli.store.names import STIMULUS
from openretina_cli.store.package import config_directory, own_yaml
from openretina_cli.terminal.console import SafeConsole
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.run import RunConsole, print_note
from openretina_cli.text import one_line

if TYPE_CHECKING:
    import torch

    from openretina_cli.config.target import Option
    from openretina_cli.finding.runs import Stimulus
    from openretina_cli.models.retina import Retina

MOST_REASONS = 20
"""Lines of reasons; those of a broken sweep are much alike."""


@dataclass(frozen=True)
class Words:
    """What a command line says.

    Attributes:
        folder: the folder with runs.
        settings: plain settings by name.
        models: by "model" or "against", the overrides that choose a model.
    """

    folder: Path
    settings: Mapping[str, str]
    models: Mapping[str, Sequence[str]]


def read_words(argv: Sequence[str], verb: str, plain: Sequence[str], models: Sequence[str]) -> Words:
    """Split the words of a command line.

    Args:
        argv: the words after the verb.
        verb: its name, for errors.
        plain: names of its settings.
        models: names of its models, whose own settings follow a dot.

    Raises:
        SettingError: there is not one folder, or a setting is unknown or given twice.
    """
    words = [expand_word(word) for word in argv]
    folders = [word for word in words if os.path.isdir(word) or not ("=" in word or word.startswith("-"))]
    chosen: dict[str, list[str]] = {name: [] for name in models}
    settings: dict[str, str] = {}
    for word in (word for word in words if word not in folders):
        name, equals, value = word.partition("=")
        root = name.lstrip("+").partition(".")[0]
        if root in models and equals:
            chosen[root].append(word.replace(root, "model", 1))
        elif name not in plain or not equals:
            raise SettingError(f"{verb} has no setting {name}", expected=closest(name, [*plain, *models]))
        elif name in settings:
            raise SettingError(f"{name} is given twice", expected="one value")
        else:
            settings[name] = value
    if len(folders) != 1:
        raise SettingError(
            f"{verb} takes one folder, not {len(folders)}", expected="DIR", repair=f"openretina {verb} outputs"
        )
    if not os.path.isdir(folders[0]):
        raise SettingError(f"{folders[0]} is no folder", expected="a run, or a folder with runs below it")
    for name, texts in chosen.items():
        if texts and not any(text.startswith("model=") for text in texts):
            raise SettingError(f"{name}.… changes a model that is not chosen", expected=f"{name}=NAME before it")
    return Words(Path(folders[0]), settings, chosen)


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number in a range.

    Raises:
        SettingError: it is something else.
    """
    fits = text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high
    require(fits, name, text, f"a whole number from {low} to {high}")
    return int(text)


def truth(name: str, words: Words) -> bool:
    """Whether a setting is true; false where it is not given.

    Raises:
        SettingError: it is something else.
    """
    text = words.settings.get(name, "false")
    one_of(name, text, ("true", "false"))
    return text == "true"


def output_folder(words: Words, default: Path) -> Path:
    """The folder that `out` names.

    Raises:
        SettingError: it is empty, or cannot be written.
    """
    text = words.settings.get("out", str(default))
    require(text.strip() != "", "out", text, "a folder")
    folder = Path(expand_home(text))
    check_folder(folder)
    return folder


def typed_model(texts: Sequence[str]) -> Option | None:
    """The model that overrides choose; None where there are none.

    Raises:
        SettingError: a setting is wrong.
        Exception: an error of Hydra's, which `config.errors.explain` puts into a sentence.
    """
    if not texts:
        return None
    from openretina_cli.config.compose import compose_settings

    return compose_settings(texts).model


def device_of(words: Words) -> torch.device:
    """The device that is asked for.

    Raises:
        SettingError: there is no such device.
    """
    from openretina_cli.config.settings import DEVICE
    from openretina_cli.run.model import choose_device

    name = words.settings.get("device", "auto")
    require(DEVICE.fullmatch(name) is not None, "device", name, "auto, cpu, cuda, cuda:0 or mps")
    return choose_device(name)


def load_model(option: Option, frames: int, device: torch.device, console: SafeConsole) -> Retina:
    """Load a model, showing downloads, its name and its note.

    Raises:
        OpenRetinaError: the model cannot be had.
    """
    from openretina_cli.run.model import build_model

    shown = RunConsole(console)
    with shown.live():
        retina = build_model(option, frames, device, shown.download)
    console.print(f"{one_line(retina.facts.name)}  [{device}]", style="bold")
    print_note(retina.facts, console)
    return retina


@dataclass(frozen=True)
class Opened:
    """The runs of a folder, ready to be played.

    Attributes:
        retina: the model, on the device.
        stimuli: those that fit the model.
        errors: why other runs are left out.
        device: where to compute.
        frames: of the first stimulus, on which a module of the user's is tried.
        typed: settings that stand for the model where the user typed one, see `run.stated.read_settings_of`.
    """

    retina: Retina
    stimuli: Sequence[Stimulus]
    errors: Sequence[OpenRetinaError]
    device: torch.device
    frames: int
    typed: Mapping[str, object] | None = None


def open_runs(words: Words, console: SafeConsole) -> Opened:
    """Load the model of the runs in a folder, and find the runs that fit it.

    Raises:
        OpenRetinaError: no run can be used, or the model cannot be had.
    """
    from openretina_cli.finding import runs

    chosen = typed_model(words.models.get("model", ()))
    stimuli, errors = runs.read_records(words.folder)
    option = runs.model_of(stimuli) if chosen is None else chosen
    device, frames = device_of(words), runs.frames_of(stimuli[0])
    retina = load_model(option, frames, device, console)
    if chosen is None:
        runs.check_weights(stimuli, retina.facts)
    fit, others = runs.with_types(stimuli, retina.facts)
    stand_in = None if chosen is None else own_yaml(config_directory() / "model" / "simulated_retina.yaml")
    return Opened(retina, fit, [*errors, *others], device, frames, stand_in)


def basis(opened: Opened, stimulus: Stimulus, **settings: object) -> dict[str, object] | None:
    """What a finding on a run depends on; None for a model that the user typed, whose code may be another each time.

    Raises:
        ArtifactError: the stimulus cannot be read.
    """
    if opened.typed is not None:
        return None
    path = stimulus.result.path.parent / STIMULUS
    try:
        digest = digest_of_file(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    shared = {"stimulus": digest, "model": opened.retina.facts.sha256, "tool": version("openretina-cli")}
    return {**shared, "window": stimulus.result.window and list(stimulus.result.window), **settings}


def show_on_page(folder: Path, console: SafeConsole) -> None:
    """Write the report of a folder anew where it has one, so that it shows what was found.

    Raises:
        OpenRetinaError: it cannot be written.
    """
    from openretina_cli.report import write_report
    from openretina_cli.report.names import PAGE

    if (folder / PAGE).is_file():
        with Bar(console, "report", 1) as bar:
            files = write_report(folder, bar.move)
        console.print(str(files.page), overflow="fold")


def tell_left_out(opened: Opened, console: SafeConsole, others: Sequence[OpenRetinaError] = (), what: str = "") -> None:
    """Print why runs were left out, a line each.

    Args:
        opened: the runs.
        console: where to print.
        others: why runs that were played lack a part.
        what: which part.

    Raises:
        ArtifactError: there are such runs.
    """
    for error in [*opened.errors, *others][:MOST_REASONS]:
        console.print(one_line(str(error)), style="yellow", overflow="fold")
    if opened.errors:
        count = len(opened.errors) + len(opened.stimuli)
        raise ArtifactError(f"{len(opened.errors)} of {count} runs were left out; the others are written")
    if others:
        raise ArtifactError(f"{len(others)} of {len(opened.stimuli)} runs have no {what}; the others are written")
