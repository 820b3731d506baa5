"""Reads the files of a checkpoint as plain data: whatever a file asks for, nothing in it is ever executed.

The three formats come from strangers, and two of them are pickles. Every reader takes the whole file into memory,
looks before it reads, and turns whatever goes wrong into one line. A hostile file can still waste some time.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle  # for the name of its error; what unpickles is in plain_pickle and torch
import pickletools
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml

from openretina_cli.errors import ModelError, OpenRetinaError, UnsafeFileError
from openretina_cli.models.plain_pickle import load_plain, shown, unsafe

# Far above the published sizes (0.6 KiB, 7 KiB per session, a few MiB), far below what hurts a small machine.
MAX_CONFIG_BYTES = 2**18
MAX_DATA_INFO_BYTES = 2**24
MAX_STATE_DICT_BYTES = 2**31
# A published file holds about five tuples per array. Hashing a tuple nested deeper than about 100,000 overflows the
# C stack, which ends the process; no exception could be caught.
MAX_TUPLES = 50_000

PathLike = str | os.PathLike[str]


def read_config(path: PathLike) -> dict[str, Any]:
    """Reads a member's YAML settings, in which lists may carry the tag `!!python/tuple`.

    Raises:
        UnsafeFileError: the file carries any other tag.
        ModelError: the file cannot be read, is not YAML, or is no mapping from names.
    """
    path = Path(path)
    content = _content(path, MAX_CONFIG_BYTES)
    with _one_line_errors(path, "YAML file"):
        try:
            loader = _ConfigLoader(content)
            loader.name = str(path)
            loaded = loader.get_single_data()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ModelError(f"{path}, line {line}: {error.problem}", expected="YAML") from error
    return _named(loaded, path)


def read_data_info(path: PathLike) -> dict[str, Any]:
    """Reads a member's facts about its sessions from a pickle of plain containers, numbers, strings and arrays.

    Raises:
        UnsafeFileError: the file asks for any function or class that is not in the table of plain ones.
        ModelError: the file cannot be read, is not a whole pickle, or is no mapping from names.
    """
    path = Path(path)
    content = _content(path, MAX_DATA_INFO_BYTES)
    with _one_line_errors(path, "data_info pickle"):
        _globals_of_pickle(io.BytesIO(content))
        loaded = load_plain(content, path)
    return _named(loaded, path)


def read_state_dict(path: PathLike) -> dict[str, torch.Tensor]:
    """Reads a member's weights, onto the CPU wherever they were saved.

    Both formats of `torch.save` are read (zip, and pickles in a row). Refused before torch sees them: TorchScript
    archives, which torch < 2.6 runs, and the tar format of 2016, through which it could be tricked into running
    code (CVE-2025-32434), in both cases in spite of `weights_only=True`.

    Raises:
        UnsafeFileError: the file holds more than tensors in containers.
        ModelError: the file cannot be read, is cut off, or is not a flat mapping from names to dense tensors.
    """
    path = Path(path)
    content = _content(path, MAX_STATE_DICT_BYTES)
    with _one_line_errors(path, "checkpoint"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch comments on kinds of tensors that are refused below
        asked_for = _globals_of_checkpoint(content, path)
        try:
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refusal(error, asked_for, path) from error
        weights = _named(loaded, path)
        for name, value in weights.items():
            if problem := _fault_of_weight(value, len(content)):
                raise ModelError(f"{path}: {shown(name)} {problem}", expected="a flat mapping to dense tensors")
        return {name: value.detach() for name, value in weights.items()}


def sha256_of(paths: Iterable[PathLike]) -> str:
    """One digest over several files; it depends on their names and contents, not on their folder or order.

    It is the digest of what `sha256sum` prints for the files in order of their names.

    Raises:
        ModelError: a file cannot be read.
    """
    lines = []
    for path in map(Path, paths):
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}") from error
        lines.append((path.name, digest.hexdigest()))
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in sorted(lines)).encode()).hexdigest()


# --- what all readers share


def _content(path: Path, limit: int) -> bytes:
    """The whole file, unless it is missing, empty or larger than `limit` bytes."""
    try:
        if not path.is_file():  # a pipe or device could be read for ever
            raise ModelError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
        size = path.stat().st_size
        if size > limit:
            raise ModelError(f"{path} has {size} bytes", expected=f"at most {limit}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if not content:
        raise ModelError(f"{path} is empty")
    return content


@contextmanager
def _one_line_errors(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a broken file makes a parser raise, MemoryError and RecursionError too, into a ModelError."""
    try:
        yield
    except OpenRetinaError:
        raise
    except Exception as error:
        problem = f"{path} is not a readable {kind}: {type(error).__name__}"
        raise ModelError(f"{problem}: {shown(str(error))}".rstrip(": "), expected="a whole file") from error


def _named(loaded: object, path: Path) -> dict[str, Any]:
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds a {type(loaded).__name__}", expected="a mapping from names")
    for name in loaded:
        if not isinstance(name, str):
            raise ModelError(f"{path} has a {type(name).__name__} among its names", expected="strings")
    return dict(loaded)


def _globals_of_pickle(stream: io.BytesIO) -> list[str]:
    """Walks over one pickle without executing it and returns the dotted names of the globals it asks for.

    Raises:
        ValueError: the pickle is malformed, cut off, or would exhaust memory or the C stack of an unpickler.
    """
    found, strings, tuples = [], ["", ""], 0
    length = stream.getbuffer().nbytes
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            found.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            found.append(".".join(strings[-2:]))
        elif opcode.name in ("EXT1", "EXT2", "EXT4"):  # may skip find_class
            raise ValueError("it uses the extension registry")
        elif opcode.name.endswith("PUT") and int(argument or 0) > length:  # the memo grows to it at once
            raise ValueError(f"memo index {argument}")
        elif isinstance(argument, str):
            strings.append(argument)
        tuples += "TUPLE" in opcode.name
        if tuples > MAX_TUPLES:
            raise ValueError(f"more than {MAX_TUPLES} tuples")
    return found


# --- YAML


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _refuse_tag(loader: yaml.SafeLoader, node: yaml.Node) -> None:
    where = f"{loader.name}, line {node.start_mark.line + 1}"
    raise UnsafeFileError(f"{where}: tag {shown(node.tag)} is not plain data", expected="no tag but !!python/tuple")


class _ConfigLoader(yaml.SafeLoader):
    """A safe loader that also knows tuples; keys are single names, and merging (`<<`), which can grow, is refused."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:python/tuple": _tuple,
        None: _refuse_tag,
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "a key is not a single name", key.start_mark)
        super().flatten_mapping(node)


# --- state_dict


def _globals_of_checkpoint(content: bytes, path: Path) -> list[str]:
    """The globals that a checkpoint's pickles ask for, found without executing them.

    Raises:
        UnsafeFileError: the file is of a kind that torch may execute.
        ModelError: the archive is damaged, or unpacks to more than its own size.
    """
    if content.startswith(b"PK\x03\x04"):  # the rule by which torch tells its two formats apart
        return _globals_of_archive(content, path)
    if tarfile.is_tarfile(io.BytesIO(content)) and content.strip(b"\0"):
        raise UnsafeFileError(f"{path} is a tar archive, which is not safe to read", repair="save it with torch >= 1.6")
    stream = io.BytesIO(content)
    found: list[str] = []
    for _ in range(5):  # magic number, protocol version, machine, the object, keys of its storages; then raw memory
        if stream.tell() < len(content):
            found += _globals_of_pickle(stream)
    return found


def _globals_of_archive(content: bytes, path: Path) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > len(content):  # torch never compresses
            raise ModelError(f"{path} unpacks to more than its own size", expected="a file written by torch.save")
        if any(record.filename.endswith("constants.pkl") for record in records):
            raise UnsafeFileError(f"{path} is a TorchScript program", expected="a state_dict saved by torch.save")
        if damaged := archive.testzip():  # torch does not compare checksums
            raise ModelError(f"{path} is damaged: {shown(damaged)} does not match its checksum")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        return [name for record in pickles for name in _globals_of_pickle(io.BytesIO(archive.read(record)))]


def _refusal(error: pickle.UnpicklingError, asked_for: list[str], path: Path) -> ModelError:
    """Tells a file that torch refuses for what it asks for from one that is broken.

    torch's own words are not passed on: they differ between versions, and advise to switch the safety off.
    """
    named = [name for name in asked_for if name in str(error)]
    refused = named or [name for name in asked_for if not name.startswith(("torch.", "collections."))]
    if refused:
        return unsafe(dict.fromkeys(refused), path)
    return ModelError(
        f"{path} is not a readable checkpoint", expected="a whole file as torch.save writes it by default"
    )


def _fault_of_weight(value: object, file_size: int) -> str:
    """What keeps a value from being a weight, as the end of a sentence; empty if nothing does."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter) or not isinstance(value, torch.Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout != torch.strided or value.is_nested:
        return "is a sparse or nested tensor"
    if value.is_quantized or value.is_complex():
        return f"has elements of type {value.dtype}"
    if value.device.type != "cpu":
        return f"has no data (device {value.device})"
    if value.numel() * value.element_size() > file_size:  # repeated elements, or memory that the file does not hold
        return f"of shape {tuple(value.shape)} is larger than the file"
    return ""
