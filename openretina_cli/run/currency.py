"""Whether a finished run is current: the rule of `store.identity`, applied to checked settings, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openretina_cli.config.settings import Settings
from openretina_cli.config.target import Option
from openretina_cli.errors import ModelError
from openretina_cli.models.member_files import ensemble_directory, member_files
from openretina_cli.output.base import Numbers
from openretina_cli.output.chosen import chosen_outputs, files_of
from openretina_cli.store.digest import sha256_of
from openretina_cli.store.identity import Files, Identity, difference

LoadedDigest = Callable[[Settings], str]
"""Loads the model of a run and returns the digest of the weights that it holds."""


class Currency:
    """Compares finished runs with what the same settings would lead to now.

    Args:
        loaded_digest: used only for a model whose weights are not told by files, and only where all else is the same.
    """

    def __init__(self, loaded_digest: LoadedDigest) -> None:
        self._loaded_digest = loaded_digest
        self._files = Files()
        self._models: list[tuple[Option, str]] = []

    def identity(self, settings: Settings, model: str) -> Identity:
        """The identity of a run; `model` is the digest of the weights that its model holds."""
        return self._files.identity(settings.values, model)

    def difference(self, result: Mapping[str, Any], settings: Settings) -> str:
        """Why a finished run is not what these settings would lead to now, as a clause; empty if it is.

        Args:
            result: what the `result.json` of the finished run holds.
            settings: of the run that is wanted.

        Raises:
            OpenRetinaError: the model cannot be had, or a later version wrote the result.
        """
        cheap = self._files.identity(settings.values)
        return (
            difference(result, cheap, settings.values)
            or difference(result, self.identity(settings, self._digest(settings)), settings.values)
            or _unwritten(result, settings)
        )

    def _digest(self, settings: Settings) -> str:
        known = next((digest for option, digest in self._models if option == settings.model), None)
        if known is None:
            found = checkpoint_digest(settings.model)
            known = self._loaded_digest(settings) if found is None else found
            self._models.append((settings.model, known))
        return known


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
        members = member_files(ensemble_directory(settings), settings.get("members"))
        return sha256_of([path for files in members for path in files])
    except ModelError:  # loading the model will say so
        return ""


def _unwritten(result: Mapping[str, Any], settings: Settings) -> str:
    """Says that a finished run lacks numbers asked for now, which only a new run can write; pictures can be drawn."""
    if not isinstance(written := result.get("files"), list):
        return ""
    names = files_of(chosen_outputs(settings), Numbers)
    return next((f"{name} was not written" for name in names if name not in written), "")
