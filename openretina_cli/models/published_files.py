"""How large the published files may be, and whether a file looks like one; known without torch."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from openretina_cli.errors import ModelError
from openretina_cli.models.foreign_file import content_of, named, one_line_errors
from openretina_cli.models.pickle_machine import Budget, InertClass, Machine
from openretina_cli.models.safe_files import (
    LEGACY_MAGIC,
    MAX_CONFIG_BYTES,
    MAX_DATA_INFO_BYTES,
    MAX_STATE_DICT_BYTES,
    read_config,
)


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
