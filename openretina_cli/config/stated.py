"""Settings that a run's folder states, checked as data before an object is built of them.

No class is imported that only a folder names, no resolver is evaluated, and no address is opened that only a folder
names: whoever wrote the folder may be a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from openretina_cli.config.help import settings_of
from openretina_cli.config.target import TARGET, Option, packaged_targets, read_option
from openretina_cli.errors import SettingError
from openretina_cli.store.package import config_directory

MAX_VALUES = 5_000
"""Values in the settings of a run; a simulated session has 105 cells."""

OF_TORCH = {
    f"optimizer.{TARGET}": re.compile(r"torch\.optim\.[A-Za-z]+"),
    f"optimizer.schedule.{TARGET}": re.compile(r"torch\.optim\.lr_scheduler\.[A-Za-z]+"),
}
"""By setting the classes that are built beside those of the package: optimizers and schedules that torch brings."""

SHOWN_ONLY = ("model.note",)
"""Settings that nothing opens, so that an address in them is text."""


def _leaves(name: str, tree: object) -> Iterator[tuple[str, object]]:
    """Every value of a tree with its dotted name, those in lists too."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else None
    if items is None:
        yield name, tree
    for key, value in items or ():
        yield from _leaves(f"{name}.{key}" if name else str(key), value)


@cache
def _packaged_addresses() -> frozenset[str]:
    files = (config_directory() / "model").glob("*.yaml")
    return frozenset(setting.value for path in files for setting in settings_of(path) if "://" in setting.value)


def _is_known_class(name: str, value: object) -> bool:
    of_torch = name in OF_TORCH and isinstance(value, str) and OF_TORCH[name].fullmatch(value)
    return bool(of_torch) or value in packaged_targets()


def check_stated(settings: Mapping[str, object], folder: Path | str, repair: str = "") -> None:
    """Check settings that a folder states.

    Args:
        settings: by group, as a result holds them.
        folder: the folder, for errors.
        repair: what to type instead, for errors.

    Raises:
        SettingError: a setting names a class of the user's or an address that the package does not name, is not
            resolved, or there are too many of them.
    """
    leaves = list(_leaves("", settings))
    if len(leaves) > MAX_VALUES:
        raise SettingError(f"{folder} has {len(leaves)} settings", expected=f"at most {MAX_VALUES}")
    for name, value in leaves:
        if TARGET in name.split(".") and not _is_known_class(name, value):
            raise SettingError(
                f"{folder} was made with a class of the user's ({name}={value!r:.80}), and no class that a folder "
                "names is imported",
                expected="runs of built-in options",
                repair=repair,
            )
        if "${" in f"{name}{value}":
            raise SettingError(f"{folder} has a setting that is not resolved: {name}={value!r:.80}", repair=repair)
        is_address = name.startswith("model.") and name not in SHOWN_ONLY and "://" in str(value)
        if is_address and value not in _packaged_addresses():
            raise SettingError(
                f"{folder} names an address that the package does not ({name}={value!r:.200}), and none that only a "
                "folder names is opened",
                repair=repair,
            )


def stated_model(model: object, folder: Path | str, repair: str) -> Option:
    """The model that a folder states.

    Args:
        model: the settings of the group `model`, as a result holds them.
        folder: the folder, for errors.
        repair: what to type instead, for errors.

    Raises:
        SettingError: the folder states none, or one whose settings are wrong or must not be followed.
    """
    if not isinstance(model, Mapping):
        raise SettingError(f"{folder} does not state its model", repair=repair)
    check_stated({"model": model}, folder, repair)
    try:
        return read_option("model", model, "model.")
    except SettingError as error:
        raise SettingError(f"{folder}: {error.problem}", expected=error.expected, repair=repair) from error
