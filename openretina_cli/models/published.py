"""The models that the packaged configs name, read from their YAML alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openretina_cli.checks import closest
from openretina_cli.errors import SettingError
from openretina_cli.models.download import RemoteCheckpoint
from openretina_cli.store.package import config_directory, own_yaml
from openretina_cli.web_address import is_web_address


def packaged_models() -> dict[str, dict[str, Any]]:
    """The settings of every `configs/model/NAME.yaml`, by name."""
    return {path.stem: own_yaml(path) for path in sorted((config_directory() / "model").glob("*.yaml"))}


def remote_of(settings: Mapping[str, Any]) -> RemoteCheckpoint | None:
    """Where the files of a model are downloaded from; None for models that are not."""
    if settings.get("url") is not None:
        return RemoteCheckpoint.ensemble(settings["name"], settings["url"], settings.get("seeds") or ())
    path = settings.get("path", "")
    return RemoteCheckpoint.single(path, settings["name"]) if is_web_address(path) else None


def model_settings(name: str) -> dict[str, str]:
    """The settings that choose a model by its name, or by the path of its file or folder.

    Raises:
        SettingError: there is neither such a model nor such a file.
    """
    known = packaged_models()
    if name in known:
        return {"model": name}
    folder = Path(name).expanduser()
    if not folder.exists() and ("/" in name or folder.suffix):
        raise SettingError(f"{name} does not exist", expected="the file or folder of a model, or a model's name")
    if not folder.exists():
        raise SettingError(f"there is no model {name}", expected=closest(name, known))
    published = folder.is_dir() and any(folder.glob("config_*.yaml"))
    return {"model": "ensemble_directory" if published else "core_readout", "model.path": name}
