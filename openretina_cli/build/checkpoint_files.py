"""The files that a model is read from, found without loading it and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openretina_cli.config.location import PACKAGE
from openretina_cli.config.options import EnsembleBundled, EnsembleDirectory, EnsembleDownload, EnsembleOption, Option
from openretina_cli.errors import ModelError
from openretina_cli.models.member_files import member_files
from openretina_cli.store.digest import sha256_of


def checkpoint_digest(option: Option) -> str | None:
    """Digest of the files of an ensemble, the same as `ModelFacts.sha256` once it is loaded.

    Returns:
        The digest; empty where the files are not on this machine or cannot be read; None for a model whose weights are
        known only once it is built.
    """
    if not isinstance(option, EnsembleOption):
        return None
    try:
        return sha256_of([path for files in member_files(_directory(option), option.members) for path in files.all])
    except ModelError:  # loading the model will say so
        return ""


def _directory(option: EnsembleOption) -> Path:
    if isinstance(option, EnsembleBundled):
        return PACKAGE / option.name
    if isinstance(option, EnsembleDownload):
        from openretina_cli.models.download import RemoteCheckpoint, checkpoint_directory  # requests, for these only

        seeds: Sequence[int] = option.seeds
        return checkpoint_directory(RemoteCheckpoint.ensemble(option.name, option.url, seeds))
    if isinstance(option, EnsembleDirectory):
        return Path(option.path).expanduser()
    raise TypeError(f"no folder for {type(option).__name__}")
