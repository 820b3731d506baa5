"""Reads the records in a run's folder, each as untrusted data; the bounds are those of `store.files`.

Arrays are read by `store.arrays`, so that a mistake in a command does not wait for NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openretina_cli.errors import ArtifactError
from openretina_cli.store.files import read_mapping, read_yaml
from openretina_cli.store.names import CONFIG, FAILURE, OVERRIDES, RESULT
from openretina_cli.store.result import Failure, Result, failure_of_tree, result_of_tree


def read_result(folder: Path) -> Result:
    """The record of the finished run in a folder.

    Raises:
        ArtifactError: its result cannot be read, or holds no mapping.
    """
    return result_of_tree(read_mapping(folder / RESULT), folder / RESULT)


def read_failure(folder: Path) -> Failure:
    """The record of the failed run in a folder.

    Raises:
        ArtifactError: it cannot be read, or holds no mapping.
    """
    return failure_of_tree(read_mapping(folder / FAILURE))


def read_config(folder: Path) -> Mapping[str, Any]:
    """Hydra's record of a run's settings, in which `${...}` is not resolved; empty where it cannot be read."""
    try:
        tree = read_yaml(folder / CONFIG, folder)
    except ArtifactError:
        return {}
    return tree if isinstance(tree, Mapping) else {}


def read_overrides(folder: Path) -> list[str] | None:
    """Hydra's record of the overrides that a run was made with; None where it cannot be read."""
    try:
        tree = read_yaml(folder / OVERRIDES, folder)
    except ArtifactError:
        return None
    return [str(item) for item in tree] if isinstance(tree, list) else None
