"""Reads the files of a checkpoint as plain data: whatever a file asks for, nothing in it is ever executed.

The three formats come from strangers, and two of them are pickles. Every reader takes the whole file into memory,
looks before it reads, and turns whatever goes wrong into one line. A hostile file can still waste some time.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle  # only ever with an Unpickler that takes its globals from the table below
import pickletools
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml

from openretina_cli.errors import ModelError, OpenRetinaError, UnsafeFileError

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
        loaded = _plain(_DataInfoUnpickler(io.BytesIO(content), path).load(), {})
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
                raise ModelError(f"{path}: {_shown(name)} {problem}", expected="a flat mapping to dense tensors")
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
        raise ModelError(f"{problem}: {_shown(str(error))}".rstrip(": "), expected="a whole file") from error


def _shown(text: str, limit: int = 200) -> str:
    """Text out of a file, fit for a terminal: short and without control characters."""
    text = ascii(" ".join(text.split()))[1:-1]
    return text if len(text) <= limit else text[:limit] + "..."


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
    raise UnsafeFileError(f"{where}: tag {_shown(node.tag)} is not plain data", expected="no tag but !!python/tuple")


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


# --- data_info: numpy believes what a pickle says about an array's memory, so these stand in for its own functions


class _Dtype:
    """What a pickle says about the elements of an array."""

    _PLAIN = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][1-9]\d{0,5}|O8?")
    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not self._PLAIN.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"array elements of type {self.code}")
        return np.dtype(self.order + self.code)


class _Array:
    """What a pickle says about an array; its memory is made here, from exactly as many bytes as its shape needs."""

    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.shape, self.dtype, self.fortran_order, self.data = state[-4:]

    def resolve(self, seen: dict[int, Any]) -> np.ndarray[Any, Any]:
        dtype = self.dtype.resolve()
        if not all(type(length) is int for length in self.shape):
            raise ValueError("an array whose shape is not made of integers")
        if len(self.data) != math.prod(self.shape) * (1 if dtype.hasobject else dtype.itemsize):
            raise ValueError("an array whose shape does not fit its data")
        if dtype.hasobject:
            elements = np.empty(len(self.data), dtype)
            for index, element in enumerate(self.data):
                elements[index] = _plain(element, seen)
        else:
            elements = np.frombuffer(bytearray(self.data), dtype)  # a copy of its own, so that it can be written to
        array: np.ndarray[Any, Any] = elements.reshape(self.shape, order="F" if self.fortran_order else "C")
        return array


def _array(shape: Any, dtype: Any, fortran_order: bool, data: Any) -> _Array:
    array = _Array()
    array.__setstate__((shape, dtype, fortran_order, data))
    return array


def _empty_array(subtype: object, shape: object, code: object) -> _Array:
    return _Array()


def _array_from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> _Array:
    return _array(shape, dtype, order == "F", data)


def _numpy_scalar(dtype: _Dtype, data: bytes) -> Any:
    if dtype.resolve().hasobject:
        raise ValueError("a numpy scalar that is an object")
    return _array((), dtype, False, data).resolve({})[()]


def _array_type(*arguments: object) -> None:
    raise ValueError("an array without data")


def _empty_bytes() -> bytes:
    return b""


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an encoding other than latin1")
    return text.encode("latin1")


# Pairs are compared as a whole, so that no dotted name leads from an admitted module to another.
_PLAIN_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): dict,
    ("torch", "Size"): torch.Size,
    ("numpy", "ndarray"): _array_type,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1_bytes,  # how protocol 2 writes bytes
    ("__builtin__", "bytes"): _empty_bytes,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _numpy_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("core", "_core")},
}


class _Admitted:
    """One use of an entry of the table; a pickle may set attributes of what it is given, so it never gets the entry."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)


class _DataInfoUnpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, path: Path) -> None:
        super().__init__(stream)
        self._path = path

    def find_class(self, module: str, name: str, /) -> Any:
        make = _PLAIN_GLOBALS.get((module, name))
        if make is None:
            raise _unsafe([f"{module}.{name}"], self._path)
        return _Admitted(make)

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafeFileError(f"{self._path} refers to objects outside itself", expected="plain data")


def _unsafe(names: Iterable[str], path: Path) -> UnsafeFileError:
    return UnsafeFileError(
        f"{path} asks for {_shown(', '.join(names))} and was not read",
        expected="nothing but numbers, strings, arrays and containers of them",
    )


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """The value with every stand-in replaced by what it stands for; an object that occurs twice is made once."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray, np.generic, torch.Size)):
        return value
    if id(value) not in seen:
        seen[id(value)] = _plain_container(value, seen)
    return seen[id(value)]


def _plain_container(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {_plain(key, seen): _plain(item, seen) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)([_plain(item, seen) for item in value])
    if isinstance(value, _Array):
        return value.resolve(seen)
    if isinstance(value, _Dtype):
        return value.resolve()
    raise ValueError("it holds a function or class")


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
            raise ModelError(f"{path} is damaged: {_shown(damaged)} does not match its checksum")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        return [name for record in pickles for name in _globals_of_pickle(io.BytesIO(archive.read(record)))]


def _refusal(error: pickle.UnpicklingError, asked_for: list[str], path: Path) -> ModelError:
    """Tells a file that torch refuses for what it asks for from one that is broken.

    torch's own words are not passed on: they differ between versions, and advise to switch the safety off.
    """
    named = [name for name in asked_for if name in str(error)]
    refused = named or [name for name in asked_for if not name.startswith(("torch.", "collections."))]
    if refused:
        return _unsafe(dict.fromkeys(refused), path)
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
