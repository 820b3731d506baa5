"""The files that a model is read from, found without loading it and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openretina_cli.config.target import Option
from openretina_cli.errors import ModelError
from openretina_cli.location import PACKAGE
from openretina_cli.models.member_files import member_files
from openretina_cli.store.digest import sha256_of

ENSEMBLE = "openretina_cli.models.ensemble.ensemble"
"""`_target_` of models whose weights are told by files that are found quickly; any other model is loaded instead."""


def checkpoint_digest(option: Option) -> str | None:
    """Digest of the files of an ensemble, the same as `ModelFacts.sha256` once it is loaded.

    Returns:
        The digest; empty where the files are not on this machine or cannot be read; None for a model whose weights are
        known only once it is built.
    """
    if option.target != ENSEMBLE:
        return None
    settings = option.arguments
    try:
        members = member_files(_directory(settings), settings.get("members"))
        return sha256_of([path for files in members for path in files])
    except ModelError:  # loading the model will say so
        return ""


def _directory(settings: Mapping[str, Any]) -> Path:
    if settings.get("path") is not None:
        return Path(settings["path"]).expanduser()
    if settings.get("url") is not None:
        from openretina_cli.models.download import RemoteCheckpoint, checkpoint_directory  # requests, for these only

        remote = RemoteCheckpoint.ensemble(settings["name"], settings["url"], settings.get("seeds") or ())
        return checkpoint_directory(remote)
    return PACKAGE / str(settings["name"])
