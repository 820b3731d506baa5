"""The files of a checkpoint as plain data.

Threat model. A checkpoint's files come from others, and two of its three formats are pickles. Whoever wrote a file may
have chosen every byte, and may know this code. The readers hold these bounds for any file, before the work is done:

* Nothing in a file is executed, imported, or looked up but in fixed tables of functions that make plain data. What is
  not in the tables is refused by name (`UnsafeFileError`).
* Time and memory are bounded by a few times the file's size (`pickle_machine.Budget`): work per byte is fixed; only
  text, numbers and the like are hashed as keys; what shared objects, YAML aliases and views of one storage unfold to is
  measured and bounded; nesting is bounded; tensors and arrays need as many bytes in the file as their shapes say.
* Numbers that say how much is to be made (neurons, pixels, layers) are finite and below a stated bound.
* Whatever goes wrong is one `ModelError`, of one line, with at most 120 characters of what the file says.

The bounds hold in `foreign_file`, `yaml_data`, `pickle_machine`, `plain_pickle`, `torch_file`, `safetensors_file`,
`weights_file` and `core_readout/records`, and nothing else of this room reads a file that others wrote.

Not covered: numbers that are allowed but wrong (a model with hostile weights answers wrongly, but only answers), and
a file that is changed while it is read.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openretina_cli.errors import ModelError
from openretina_cli.models.foreign_file import content_of, named, one_line_errors, shown
from openretina_cli.models.pickle_machine import Budget, InertClass, Machine
from openretina_cli.models.plain_pickle import load_plain
from openretina_cli.models.yaml_data import load_yaml

if TYPE_CHECKING:  # config and data_info are checked after a download, which does not wait for torch
    import torch

# Far above the published sizes (0.6 KiB, 7 KiB per session, a few MiB), far below what hurts a small machine.
MAX_CONFIG_BYTES = 2**18
MAX_DATA_INFO_BYTES = 2**24
MAX_STATE_DICT_BYTES = 2**31

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file of `torch.save` that is no zip archive."""

DENSE = "a flat mapping to dense tensors"

PathLike = str | os.PathLike[str]


def read_config(path: PathLike) -> dict[str, Any]:
    """Reads a member's YAML settings, in which lists may carry the tag `!!python/tuple`.

    Raises:
        UnsafeFileError: the file carries any other tag.
        ModelError: the file cannot be read, is not YAML, is no mapping from names, or unfolds to too much.
    """
    path = Path(path)
    return named(load_yaml(content_of(path, MAX_CONFIG_BYTES), path), path)


def read_data_info(path: PathLike) -> dict[str, Any]:
    """Reads a member's facts about its sessions from a pickle of plain containers, numbers, strings and arrays.

    Raises:
        UnsafeFileError: the file asks for any function or class that is not in the table of plain ones.
        ModelError: the file cannot be read, is not a whole pickle, is no mapping from names, or unfolds to too much.
    """
    path = Path(path)
    content = content_of(path, MAX_DATA_INFO_BYTES)
    with one_line_errors(path, "data_info pickle"):
        return named(load_plain(content, path), path)


def read_state_dict(path: PathLike) -> dict[str, torch.Tensor]:
    """Reads a member's weights, onto the CPU wherever they were saved, from both formats of `torch.save`.

    Raises:
        UnsafeFileError: the file holds more than tensors in containers.
        ModelError: the file cannot be read, is cut off, is not a flat mapping from names to dense tensors, or its
            tensors are larger than a few times the file.
    """
    from openretina_cli.models.torch_file import read_torch_file

    path = Path(path)
    return only_tensors(named(read_torch_file(path, MAX_STATE_DICT_BYTES), path), path)


def only_tensors(weights: dict[str, Any], path: Path, expected: str = DENSE) -> dict[str, torch.Tensor]:
    """The mapping, if all that it holds are tensors.

    Raises:
        ModelError: it holds something else.
    """
    import torch

    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{path}: {shown(str(name))} is a {type(value).__name__}, not a tensor", expected=expected)
    return weights


def largest_size(name: str) -> int:
    """Bytes that a file of this name may have."""
    if name.endswith(".yaml"):
        return MAX_CONFIG_BYTES
    return MAX_DATA_INFO_BYTES if name.endswith(".pkl") else MAX_STATE_DICT_BYTES


def check_published(name: str, path: Path) -> None:
    """Check that a file's content is of the kind that its name promises; unknown names promise nothing.

    Args:
        name: the published name, such as `config_00000.yaml`.
        path: where the file is.

    Raises:
        ModelError: the file holds something else, or is damaged.
    """
    if name.endswith(".yaml"):
        if not isinstance(read_config(path).get("model_config"), dict):
            raise ModelError(f"{path} has no model_config")
    elif name.endswith(".pkl"):
        content = content_of(path, MAX_DATA_INFO_BYTES)
        with one_line_errors(path, "data_info pickle"):
            named(_inert(content), path)
    elif name.endswith((".pth.tar", ".ckpt")):
        with one_line_errors(path, "checkpoint"):
            _check_weights(path)


def _inert(content: bytes) -> object:
    """The first pickle in the content; what it asks for stays a name."""
    return Machine(InertClass, lambda _: None, Budget(len(content))).run(io.BytesIO(content))


def _check_weights(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if _inert(file.read(2**10)) != LEGACY_MAGIC:
                raise ModelError(f"{path} is no file of torch.save")
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise ModelError(f"{path} unpacks to more than its own size")
        if archive.testzip() or not any(record.filename.endswith("/data.pkl") for record in records):
            raise ModelError(f"{path} is damaged, or no file of torch.save")
