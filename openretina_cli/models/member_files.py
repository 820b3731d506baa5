"""The files of an ensemble in the published layout, found without reading them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openretina_cli.errors import ModelError

CONFIG_NAME = re.compile(r"config_(\d+)\.yaml")


@dataclass(frozen=True)
class MemberFiles:
    """The three files of one member."""

    config: Path
    data_info: Path
    state_dict: Path

    @classmethod
    def of_seed(cls, directory: Path, seed: str) -> MemberFiles:
        """The files of the member whose seed is spelt `seed` in their names."""
        return cls(
            directory / f"config_{seed}.yaml",
            directory / f"data_info_{seed}.pkl",
            directory / f"state_dict_{seed}.pth.tar",
        )

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """The files, in a fixed order."""
        return self.config, self.data_info, self.state_dict


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
    chosen = range(len(seeds)) if members is None else members
    for index in chosen:
        if not 0 <= index < len(seeds):
            raise ModelError(f"model.members={list(chosen)} names member {index}", expected=f"0 to {len(seeds) - 1}")
    found = [MemberFiles.of_seed(directory, seeds[index]) for index in chosen]
    for path in (path for files in found for path in files.all):
        if not path.is_file():
            raise ModelError(f"{directory} is incomplete: {path.name} is missing")
    return found
