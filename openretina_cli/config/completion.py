"""Candidates for tab completion of settings: the groups, options and keys that Hydra knows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from hydra.types import RunMode

from openretina_cli.config.compose import CONFIG_NAME, read_arguments, search_path
from openretina_cli.config.template import register_resolvers


def groups_and_keys(before: Sequence[str], word: str) -> Iterator[str]:
    """Groups, options and keys that a word may become.

    Args:
        before: flags and overrides that stand before the word.
        word: the word to complete.
    """
    args, _ = read_arguments(before)
    try:
        yield from _matches(args, args.overrides, word)
    except Exception:  # an earlier word may be unfinished or wrong; candidates without it are better than none
        yield from _matches(args, [], word)


def _matches(args: argparse.Namespace, overrides: Sequence[str], word: str) -> list[str]:
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
