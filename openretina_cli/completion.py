"""Candidates for tab completion: verbs, folders, models, and Hydra's groups, options and keys."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from openretina_cli.config.paths import PATHS, expand_home

FLAGS = ("--multirun", "--config-dir", "--cfg", "--info", "--resolve", "--help")
FOLDER_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
"""Flags that a folder follows."""


def words_of(line: str) -> list[str]:
    """Splits a command line as a shell would; the last word is the one to complete, and may be empty or left open."""
    for closing in ("", "'", '"'):
        with suppress(ValueError):
            words = shlex.split(line + closing)
            return [*words, ""] if not closing and (not line or line[-1].isspace()) else words
    return line.split()


def candidates(line: str, verbs: Sequence[str]) -> list[str]:
    """What the last word of a command line may become, sorted.

    Args:
        line: the command line up to the cursor, with the name of the program.
        verbs: the verbs there are.
    """
    words = words_of(line)
    found: set[str] = set()
    with suppress(Exception, SystemExit):  # a line that is being typed may have any mistake
        matches = _starting(verbs, words[1]) if len(words) == 2 else _of_verb(words[1], words[2:-1], words[-1])
        for name in matches:
            found.add(name)
    # the shells split what they read at blanks; a name with blanks is left to the shell's own completion of files
    return sorted(name for name in found if not any(map(str.isspace, name)))


def _starting(names: Iterable[str], word: str) -> Iterator[str]:
    return (name for name in names if name.startswith(word))


def _of_verb(verb: str, before: Sequence[str], word: str) -> Iterator[str]:
    if verb in ("render", "report", "validate"):
        yield from _paths(word, folders_only=True)
    if verb == "render":
        from openretina_cli.render_verb import READERS

        yield from _starting((f"{name}=" for name in READERS), word)
    if verb == "models":
        yield from _of_models(before, word)
    if verb == "validate":
        yield from _starting(["--held-out"], word)
    if verb in ("optimize", "validate"):
        yield from _of_settings(before, word)


def _of_models(before: Sequence[str], word: str) -> Iterator[str]:
    from openretina_cli.models_verb import FETCH, known_models

    known = known_models()
    if not before:
        yield from _starting([FETCH, *known], word)
    elif list(before) == [FETCH]:
        yield from _starting((name for name, model in known.items() if model.remote is not None), word)
    elif before[0] in known:
        chosen = _of_settings([f"model={before[0]}", *before[1:]], word or "model.")
        yield from _starting(chosen, "model.")


def _of_settings(before: Sequence[str], word: str) -> Iterator[str]:
    """Flags, paths, and what Hydra knows."""
    flag, _, value = word.partition("=")
    if before and before[-1] in FOLDER_FLAGS:
        yield from _paths(word, folders_only=True)
    elif flag in FOLDER_FLAGS:
        yield from (f"{flag}={path}" for path in _paths(value, folders_only=True))
    elif word.startswith("-"):
        yield from _starting(FLAGS, word)
    elif "=" in word and flag in PATHS:
        yield from (f"{flag}={path}" for path in _paths(value, folders_only=False))
    else:
        yield from _of_hydra(before, word)


def _paths(word: str, *, folders_only: bool) -> Iterator[str]:
    """Files and folders whose path begins with a word; hidden ones only where the word names a dot."""
    above, name = os.path.split(word)
    with suppress(OSError):
        for entry in os.scandir(Path(expand_home(above) or ".")):
            if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
                if entry.is_dir():
                    yield os.path.join(above, entry.name) + "/"
                elif not folders_only:
                    yield os.path.join(above, entry.name)


def _of_hydra(before: Sequence[str], word: str) -> Iterator[str]:
    from openretina_cli.composer import read_arguments

    args, _ = read_arguments([text for text in before if text != "--held-out"])
    try:
        yield from _groups_and_keys(args, args.overrides, word)
    except Exception:  # an earlier word may be unfinished or wrong, which is no reason to be silent about this one
        yield from _groups_and_keys(args, [], word)


def _groups_and_keys(args: argparse.Namespace, overrides: Sequence[str], word: str) -> list[str]:
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin
    from hydra.types import RunMode

    from openretina_cli.composer import CONFIG_NAME, search_path
    from openretina_cli.sweep.template import register_resolvers

    register_resolvers()
    loader = Hydra.create_main_hydra2("optimize", search_path(args)).config_loader
    try:
        # Hydra's own query splits quoted words at blanks, and does not know --config-dir
        plugin = DefaultCompletionPlugin(loader)
        groups, is_option = plugin._query_config_groups(word, CONFIG_NAME, list(overrides))
        if is_option and groups:
            return groups
        mode = RunMode.MULTIRUN if args.multirun else RunMode.RUN
        config = loader.load_configuration(CONFIG_NAME, list(overrides), run_mode=mode)
        return [*groups, *plugin._get_matches(config, word)]
    finally:
        GlobalHydra.instance().clear()
