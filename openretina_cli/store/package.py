"""The package's own files: where its source and its YAML lie, and their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent


def config_directory() -> Path:
    """The folder of the packaged configs: inside the package in a wheel, beside it in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def own_text(path: Path) -> str:
    """The text of a source or YAML file of the package, or of the config folder that the user names.

    Such files are trusted: Hydra composes the YAML, and the classes that the YAML names are imported.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not UTF-8.
    """
    return path.read_text(encoding="utf-8")


def installed_script(path: Path) -> bytes:
    """The bytes of a script that pip has installed, on Windows a program; empty where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def own_yaml(path: Path) -> Any:
    """The content of such a YAML file, as plain values.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: the file is no YAML.
    """
    import yaml  # which takes 10 ms, and help need not wait for it

    return yaml.safe_load(own_text(path))
