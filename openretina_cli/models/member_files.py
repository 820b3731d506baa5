"""The files of an ensemble in the published layout, found without reading them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from openretina_cli.errors import ModelError
from openretina_cli.store.package import PACKAGE

T = TypeVar("T")

LAYOUT = ("config_{}.yaml", "data_info_{}.pkl", "state_dict_{}.pth.tar")
"""Names of the three files of a member; the blank is its seed, which is written with five digits."""
CONFIG_NAME = re.compile(r"config_(\d+)\.yaml")


class MemberFiles(NamedTuple):
    """The three files of one member."""

    config: Path
    data_info: Path
    state_dict: Path

    @classmethod
    def of_seed(cls, directory: Path, seed: str) -> MemberFiles:
        """The files of the member whose seed is spelt `seed` in their names."""
        return cls(*(directory / name.format(seed) for name in LAYOUT))


def ensemble_directory(settings: Mapping[str, Any]) -> Path:
    """The folder of an ensemble: one of the user's, that of a download, whether made yet or not, or the package's."""
    if settings.get("path") is not None:
        return Path(settings["path"]).expanduser()
    if settings.get("url") is not None:
        from openretina_cli.models.download import RemoteCheckpoint, checkpoint_directory  # requests, for these only

        seeds = settings.get("seeds") or ()
        return checkpoint_directory(RemoteCheckpoint.ensemble(settings["name"], settings["url"], seeds))
    return PACKAGE / str(settings["name"])


def chosen_members(found: Sequence[T], members: Sequence[int] | None) -> list[T]:
    """The members at some positions, in that order; None means all.

    Raises:
        ModelError: a position is out of range.
    """
    chosen = range(len(found)) if members is None else members
    for index in chosen:
        if not 0 <= index < len(found):
            raise ModelError(f"model.members={list(chosen)} names member {index}", expected=f"0 to {len(found) - 1}")
    return [found[index] for index in chosen]


def member_files(directory: Path, members: Sequence[int] | None = None) -> list[MemberFiles]:
    """The members found in a folder, in the order of their seeds.

    Args:
        directory: the checkpoint's folder.
        members: positions of the members to use, in that order; None means all.

    Raises:
        ModelError: there is no such folder, no member, a file is missing, or a position is out of range.
    """
    if not directory.is_dir():
        raise ModelError(f"there is no checkpoint folder {directory}", repair="model.path=FOLDER")
    seeds = sorted((m[1] for path in directory.iterdir() if (m := CONFIG_NAME.fullmatch(path.name))), key=int)
    if not seeds:
        raise ModelError(f"{directory} holds no checkpoint", expected="files such as config_00000.yaml")
    found = [MemberFiles.of_seed(directory, seed) for seed in chosen_members(seeds, members)]
    for path in (path for files in found for path in files):
        if not path.is_file():
            raise ModelError(f"{directory} is incomplete: {path.name} is missing")
    return found
