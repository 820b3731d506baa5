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

Not covered: numbers that are allowed but wrong (a model with hostile weights answers wrongly, but only answers), and
a file that is changed while it is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openretina_cli.models.foreign_file import content_of, named, one_line_errors
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
    from openretina_cli.models.torch_file import read_dense_tensors

    return read_dense_tensors(Path(path), MAX_STATE_DICT_BYTES)
