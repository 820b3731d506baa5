"""The outputs that `output=[...]` chose, built and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from openretina_cli.config.settings import Settings
from openretina_cli.config.target import Option, build
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.output.base import Numbers, Output, Picture, Wanted
from openretina_cli.store.names import RESULT, is_plain
from openretina_cli.store.values import below

if TYPE_CHECKING:  # NumPy, which mistakes need not wait for
    from openretina_cli.output.view import RunView

T = TypeVar("T", bound=Output)


def build_output(name: str, option: Option, settings: Mapping[str, Any]) -> Output:
    """Build an output from its settings, which `option` holds checked.

    Raises:
        SettingError: the settings do not fit the class, or what it writes has no name that a file can have.
        RunError: the class could not be imported, or raised.
    """
    made = build(option, Output, {})
    if not isinstance(made, (Numbers, Picture)):
        raise SettingError(f"{option.target} inherits from Output alone", expected="Numbers or Picture")
    for file in (*made.names, *getattr(made, "names_of_set", ())):
        if not is_plain(file) or file == RESULT:
            raise SettingError(f"output.{name} writes {file}", expected="a plain name of a file, such as mine.png")
    vars(made).update(chosen=name, settings=settings)  # a frozen dataclass refuses to set attributes
    return made


@dataclass(frozen=True)
class _Asked:
    """Outputs that are asked for: the key under which they are built once for the runs of a sweep."""

    names: tuple[str, ...]
    options: Mapping[str, Option] = field(hash=False)
    settings: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=8)
def _built(asked: _Asked) -> tuple[Output, ...]:
    return tuple(build_output(name, asked.options[name], asked.settings[name]) for name in asked.names)


def build_outputs(settings: Settings) -> tuple[Output, ...]:
    """Build the outputs that settings name, whether or not they go together.

    Raises:
        SettingError: a setting does not fit its class.
        RunError: a class could not be imported, or raised.
    """
    return _built(_Asked(tuple(settings.output), settings.output, settings.values.get("output") or {}))


def chosen_outputs(settings: Settings) -> tuple[Output, ...]:
    """Build the outputs of a run.

    Raises:
        SettingError: a setting does not fit, an output lacks what it is made from, or two write one file.
        RunError: a class could not be imported, or raised.
    """
    outputs = build_outputs(settings)
    owners: dict[str, str] = {}
    for output in outputs:
        if missing := [name for name in output.needs if name not in settings.output]:
            problem = f"output={output.chosen} is made from {', '.join(missing)}, which is not chosen"
            raise SettingError(problem, repair=f"output=[{','.join([*missing, *settings.output])}]")
        for file in (*output.names, *getattr(output, "names_of_set", ())):
            if owners.setdefault(file, output.chosen) != output.chosen:
                problem = f"output={owners[file]} and {output.chosen} both write {file}"
                raise SettingError(problem, expected="one of them")
    return outputs


def files_of(outputs: Sequence[Output], kind: type[T]) -> dict[str, T]:
    """The outputs of a kind, by the names of their files."""
    return {file: output for output in outputs if isinstance(output, kind) for file in output.names}


def pictures(outputs: Sequence[Output], of_set: bool) -> Wanted:
    """The pictures among outputs; `of_set` says whether the run leaves a set of stimuli."""
    further = [output for output in outputs if isinstance(output, Picture) and of_set]
    return {**files_of(outputs, Picture), **{file: output for output in further for file in output.names_of_set}}


def pictures_of(settings: Settings, of_set: bool = False) -> Wanted:
    """The pictures that the settings ask for, see `chosen_outputs`."""
    return pictures(chosen_outputs(settings), of_set)


def write_numbers(settings: Settings, view: RunView, steps: Sequence[Any], folder: Path) -> None:
    """Write the files made of numbers that the settings ask for.

    Raises:
        OSError: a file could not be written.
        ArtifactError: an output could not be made.
    """
    for file, numbers in files_of(chosen_outputs(settings), Numbers).items():
        try:
            content = numbers.content(file, view, steps)
        except (OpenRetinaError, OSError, MemoryError):
            raise
        except Exception as error:  # whatever a user's class raises
            raise ArtifactError(f"{file} could not be made: {type(error).__name__}: {error}") from error
        (folder / file).write_bytes(content)


def stated_outputs(settings: object) -> dict[str, Mapping[str, Any]]:
    """The settings of each output of a finished run by its name; those of version 0.1 as they are spelt now."""
    stated = below(settings, "output")
    if not isinstance(stated, Mapping):
        return {}
    nodes: dict[str, Mapping[str, Any]] = {
        str(name): node for name, node in stated.items() if isinstance(node, Mapping)
    }
    for before, name, key in (("video_scale", "video", "scale"), ("dpi", "figure", "dpi")):
        if before in stated and name not in nodes:
            nodes[name] = {key: stated[before]}
    return nodes


def looks_alike(picture: Picture, stated: Mapping[str, Any]) -> bool:
    """Whether files drawn with settings that a run states look as those of a picture; unstated settings agree."""
    looks = {key: value for key, value in picture.settings.items() if key not in picture.naming}
    return all(stated.get(key, value) == value for key, value in looks.items())


def drawn_like(
    picture: Picture, option: Option, stated: Mapping[str, Mapping[str, Any]], given: Collection[str]
) -> Picture:
    """The same picture with the looks that a finished run states, within limits.

    Args:
        picture: the picture.
        option: what it was built from.
        stated: the settings of each output in that run, which a stranger may have written.
        given: settings that stay as they are, such as `output.figure.dpi`.
    """
    adopted, before = {}, stated.get(picture.chosen, {})
    for key in [key for key in option.arguments if key in before and f"{option.prefix}{key}" not in given]:
        if key in picture.naming:
            continue
        limit, value = picture.limits.get(key), before[key]
        adopted[key] = min(value, limit) if limit is not None and isinstance(value, (int, float)) else value
    try:
        made = build_output(picture.chosen, option.with_arguments(**adopted), {**picture.settings, **adopted})
    except OpenRetinaError:
        return picture
    return made if isinstance(made, Picture) else picture
