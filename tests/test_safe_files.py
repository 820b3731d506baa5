"""Files from strangers are read as plain data or refused in one line; nothing in them runs."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutants import pickled_with, shared, text, yaml_aliases

from openretina_cli.errors import ModelError, UnsafeFileError
from openretina_cli.models import plain_pickle, safe_files
from openretina_cli.models.ensemble import read_recording
from openretina_cli.models.safe_files import read_config, read_data_info, read_state_dict
from openretina_cli.store.digest import sha256_of

PROTOCOLS = [2, 3, 4, 5]

CONFIG = """\
model_config:
  hidden_channels: !!python/tuple
  - 16
  - 16
  nonlinearity: ELU
  gamma_input: 0.3
  layers: 2
model_fn: some.package.model
"""


def written(folder: Path, content: bytes | str, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message_of(error: pytest.ExceptionInfo[ModelError], path: Path) -> str:
    """Every refusal is one line of printable characters that names the file and is not endless."""
    text = str(error.value)
    assert str(path) in text
    assert text.isprintable()
    assert len(text) < len(str(path)) + 400
    assert error.value.exit_code == 2
    return text


class Call:
    """Pickles as a call of a function, as hostile pickles do."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


# --- YAML


def test_config_in_the_published_form_reads_with_tuples(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, CONFIG))
    assert config["model_config"]["hidden_channels"] == (16, 16)
    assert type(config["model_config"]["hidden_channels"]) is tuple
    assert config["model_config"]["gamma_input"] == 0.3
    assert config["model_fn"] == "some.package.model"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a: !!python/object/apply:os.system ['touch {marker}']", "python/object/apply:os.system"),
        ("a: !!python/object/new:os.system ['touch {marker}']", "python/object/new:os.system"),
        ("a: !!python/object/apply:subprocess.check_output [[touch, '{marker}']]", "subprocess.check_output"),
        ("a: !!python/name:os.system", "python/name:os.system"),
        ("a: !!python/module:os", "python/module:os"),
        ("a: !!python/tuple [!!python/name:os.system ]", "python/name:os.system"),
        ("a: !custom 1", "!custom"),
        ('a: !<x%1B%5B2J> "terminal codes"', "x"),
    ],
)
def test_config_with_another_tag_is_refused_by_name(tmp_path: Path, text: str, tag: str) -> None:
    marker = tmp_path / "marker"
    path = written(tmp_path, text.replace("{marker}", str(marker)))
    with pytest.raises(UnsafeFileError) as error:
        read_config(path)
    assert tag in message_of(error, path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a: 1\nb: [1, 2\nc: 3\n", "line 3"),
        (b"a: 1\n\tb: 2\n", "line 2"),
        (b"- 1\n- 2\n", "holds a list"),
        (b"just text", "holds a str"),
        (b"1: a\n", "int among its names"),
        (b"a: \xff\xfe\n", "not a readable YAML"),
        (b"a: !!timestamp 2020-99-99\n", "not plain data"),
        (b"a: !!python/tuple 3\n", "line 1"),
        (b"x: &a {p: 1}\ny: {<<: [*a, *a]}\n", "line 2"),
        (b"? !!python/tuple [1, 2]\n: a\n", "line 1"),
        (b"a: " + b"[" * 5000, "nested deeper"),
        (b"a: b\n---\nc: d\n", "line 2"),
        (b"#" * (safe_files.MAX_CONFIG_BYTES + 1), "expected at most"),
    ],
)
def test_broken_config_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ModelError) as error:
        read_config(path)
    assert words in message_of(error, path)


def test_safe_loader_of_others_does_not_learn_about_tuples(tmp_path: Path) -> None:
    read_config(written(tmp_path, CONFIG))
    with pytest.raises(yaml.constructor.ConstructorError):
        yaml.safe_load(CONFIG)


# --- data_info


def data_info() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "3_ventral1_20201021": {
            "input_dimensions": torch.Size([32, 2, 50, 18, 16]),
            "input_channels": 2,
            "mean_response": generator.random(5, dtype=np.float32),
            "roi_coords": generator.random((5, 2)),
        },
        "1_ventral1_20201021": OrderedDict(input_dimensions=torch.Size([1]), img_h=np.int64(18), ids=[1, (2, {3, 4})]),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_data_info_in_the_published_form_reads_whole(tmp_path: Path, protocol: int) -> None:
    info = read_data_info(written(tmp_path, pickle.dumps(data_info(), protocol)))
    first, second = info.values()
    assert list(info) == ["3_ventral1_20201021", "1_ventral1_20201021"]
    assert first["input_dimensions"] == torch.Size([32, 2, 50, 18, 16])
    assert type(first["input_dimensions"]) is torch.Size
    for key in ("mean_response", "roi_coords"):
        expected = data_info()["3_ventral1_20201021"][key]
        np.testing.assert_array_equal(first[key], expected, strict=True)
        assert type(first[key]) is np.ndarray
    assert list(second) == ["input_dimensions", "img_h", "ids"]
    assert type(second["img_h"]) is np.int64
    assert second["ids"] == [1, (2, {3, 4})]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.arange(6, dtype=">i2"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0).reshape(3, 4)[::2, ::-1],
        np.array([True, False]),
        np.array(["on", "off"]),
        np.array([b"on", b"off"]),
        np.array(1 + 2j),
        np.zeros((0, 3), np.float16),
        np.array([None, "a", [1.5]], dtype=object),
        np.array([[np.arange(2)], [np.float32(1)]], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_keep_values_shape_and_type(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    read = read_data_info(written(tmp_path, pickle.dumps({"a": array}, protocol)))["a"]
    assert read.shape == array.shape
    assert read.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert repr(read.tolist()) == repr(array.tolist())
    assert read.flags.writeable


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "scalar", [np.float32(1.5), np.float64(-0.0), np.int64(7), np.uint8(3), np.True_, np.str_("on")]
)
def test_numpy_scalars_keep_value_and_type(tmp_path: Path, scalar: np.generic, protocol: int) -> None:
    read = read_data_info(written(tmp_path, pickle.dumps({"a": scalar}, protocol)))["a"]
    assert type(read) is type(scalar)
    assert repr(read) == repr(scalar)


@pytest.mark.parametrize("spelling", ["numpy.core", "numpy._core"])
def test_both_spellings_of_numpys_core_are_read(tmp_path: Path, spelling: str) -> None:
    def respelt(pickled: bytes) -> bytes:
        return pickled.replace(b"cnumpy._core", b"cnumpy.core").replace(b"cnumpy.core", b"c" + spelling.encode())

    original = {"array": np.arange(3.0), "scalar": np.float32(2)}
    read = read_data_info(written(tmp_path, respelt(pickle.dumps(original, 2))))
    np.testing.assert_array_equal(read["array"], original["array"], strict=True)
    assert read["scalar"] == 2
    frombuffer = (  # protocol 5 by hand: older numpy spells the module differently, and STACK_GLOBAL counts letters
        b"\x80\x05}\x8c\x01a\x8c" + bytes([len(spelling) + 8]) + spelling.encode() + b".numeric\x8c\x0b_frombuffer\x93"
        b"(C\x08"
        + struct.pack("<d", 1.5)
        + b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02f8\x89\x88\x87RK\x01\x85\x8c\x01CtRs."
    )
    assert read_data_info(written(tmp_path, frombuffer))["a"].tolist() == [1.5]


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain_data = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63), inner)
        | st.sets(st.integers(-(2**63), 2**63) | st.text(), max_size=1)  # larger ones print in any order
        | st.frozensets(st.integers(-(2**63), 2**63), max_size=1)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.text(), plain_data), protocol=st.sampled_from(PROTOCOLS))
def test_plain_containers_survive(tmp_path: Path, data: dict[str, Any], protocol: int) -> None:
    read = read_data_info(written(tmp_path, pickle.dumps(data, protocol)))
    assert repr(read) == repr(data)  # also tells 1 from True and a list from a tuple


def test_an_object_that_occurs_twice_is_made_once(tmp_path: Path) -> None:
    doubled: Any = "leaf"
    for _ in range(10):
        doubled = [doubled, doubled]
    read = read_data_info(written(tmp_path, pickle.dumps({"a": doubled})))["a"]
    assert read == doubled
    assert read[0] is read[1]


def hostile_calls(marker: Path) -> dict[str, Any]:
    """Functions that would create the marker, or that lead to one that could, by the name they go under."""
    import functools
    import importlib
    import os
    import subprocess

    program = f"open({str(marker)!r}, 'w')"
    archive = io.BytesIO()
    torch.save(Call(os.system, f"touch {marker}"), archive)
    return {
        "posix.system": Call(os.system, f"touch {marker}"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "builtins.eval": Call(eval, program),
        "builtins.exec": Call(exec, program),
        "io.open": Call(open, str(marker), "w"),
        "builtins.getattr": Call(getattr, Call(importlib.import_module, "os"), "system"),
        "functools.partial": Call(functools.partial, os.system, f"touch {marker}"),
        "numpy.load": Call(np.load, str(marker), None, True),
        "numpy.memmap": Call(np.memmap, str(marker), "f4", "w+", 0, 4),
        "torch.storage._load_from_bytes": Call(torch.storage._load_from_bytes, archive.getvalue()),
        "pathlib": marker,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", list(hostile_calls(Path("marker"))))
def test_hostile_pickle_is_refused_by_name_and_does_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    path = written(tmp_path, pickle.dumps({"session": hostile_calls(marker)[name]}, protocol))
    with pytest.raises(UnsafeFileError) as error:
        read_data_info(path)
    shown = message_of(error, path)
    # without the module: protocol 2 writes Python 2's names; of a nested call, the outer function is asked for first
    assert name.rpartition(".")[2] in shown
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("nt", "system"),
        ("numpy", "f2py.diagnose.os.system"),
        ("numpy", "ndarray.tofile"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.core.multiarray", "fromfile"),
        ("torch", "serialization.os.system"),
        ("torch", "hub.load"),
        ("torch", "load"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "namedtuple"),
        ("_codecs", "lookup"),
        ("builtins", "bytes"),
        ("copyreg", "_reconstructor"),
        ("openretina_cli.models.safe_files", "read_config"),
        ("evil\x1b[2J", "name"),
    ],
)
def test_only_exact_pairs_of_module_and_name_are_admitted(tmp_path: Path, module: str, name: str) -> None:
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    path = written(tmp_path, b"\x80\x04}\x8c\x01a" + words + b"\x93)Rs.")
    with pytest.raises(UnsafeFileError) as error:
        read_data_info(path)
    assert name in message_of(error, path)


def test_persistent_ids_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"\x80\x02}X\x01\x00\x00\x00aPstorage\ns.")
    with pytest.raises(UnsafeFileError) as error:
        read_data_info(path)
    message_of(error, path)


def numpy_dtype(code: str, *state: Any) -> bytes:
    """Opcodes that push a dtype whose state is set by hand."""
    state_pickle = pickle.dumps(state, 2)[2:-1]
    return b"cnumpy\ndtype\n" + pickle.dumps((code, False, True), 2)[2:-1] + b"R" + state_pickle + b"b"


def numpy_array(shape: Any, dtype: bytes, data: Any) -> bytes:
    """A pickle of {"a": array} whose shape, dtype and data need not fit each other."""
    head = b"\x80\x03}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR("
    return head + b"K\x01" + pickle.dumps(shape, 3)[2:-1] + dtype + b"\x89" + pickle.dumps(data, 3)[2:-1] + b"tbs."


FLOATS = numpy_dtype("f4", 3, "<", None, None, None, -1, -1, 0)


@pytest.mark.parametrize(
    "content",
    [
        # With numpy's own dtype these two read memory at an address of the file's choice (seen: a crash).
        numpy_array((1,), numpy_dtype("O8", 3, "|", None, None, None, -1, -1, 0), b"A" * 8),
        numpy_array((1,), numpy_dtype("V8", 3, "|", None, ("a",), {"a": ("O", 4000)}, 8, 1, 16), b"A" * 8),
        numpy_array((1,), numpy_dtype("M8", 4, "<", None, None, None, -1, -1, 0), b"A" * 8),
        numpy_array((2**40,), FLOATS, b"A" * 8),
        numpy_array((-2,), FLOATS, b"A" * 8),
        numpy_array((2**62,), numpy_dtype("S0", 3, "|", None, None, None, 0, 1, 0), b""),
        numpy_array(("a",), FLOATS, b"A" * 4),
        numpy_array((1,) * 80, FLOATS, b"A" * 4),
        numpy_array((4,), FLOATS, 2**40),
        numpy_array((4,), b"N", b"A" * 16),
        b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85Rs.",
        b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\ns.",
        b"\x80\x02}X\x01\x00\x00\x00ac__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85Rs.",
    ],
)
def test_arrays_that_lie_about_their_memory_are_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ModelError) as error:
        read_data_info(path)
    message_of(error, path)


def test_shapes_that_are_no_numbers_are_not_multiplied(tmp_path: Path) -> None:
    # a text times 2**33 would be 8 GiB
    with pytest.raises(ModelError, match="not made of integers"):
        read_data_info(written(tmp_path, numpy_array(("a", 2**33), FLOATS, b"")))


def test_the_hand_made_array_is_read_when_it_does_not_lie(tmp_path: Path) -> None:
    path = written(tmp_path, numpy_array((2,), FLOATS, struct.pack("<2f", 1, 2)))
    assert read_data_info(path)["a"].tolist() == [1, 2]


def test_a_pickle_cannot_alter_what_later_files_are_read_with(tmp_path: Path) -> None:
    for (module, name), entry in plain_pickle.PLAIN_GLOBALS.items():
        # BUILD with (None, attributes): sets attributes of whatever find_class returned
        target = f"c{module}\n{name}\n".encode()
        for attributes in ({"_make": 1}, {"__call__": 1}, {"resolve": 1}, {"__setstate__": 1}):
            content = b"\x80\x02}X\x01\x00\x00\x00a" + target + pickle.dumps((None, attributes), 2)[2:-1] + b"bs."
            path = written(tmp_path, content)
            with pytest.raises(ModelError):
                read_data_info(path)
        if isinstance(entry, FunctionType):
            assert vars(entry) == {}
    test_data_info_in_the_published_form_reads_whole(tmp_path, 2)


def nested_list(depth: int) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * depth + b"a" * (depth - 1) + b"s."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, I am text", "not a readable data_info pickle"),
        (b"<!DOCTYPE html>", "not a readable data_info pickle"),
        (b"\x80\x02.", "not a readable data_info pickle"),
        (pickle.dumps(data_info())[:-200], "not a readable data_info pickle"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({1: 2}), "int among its names"),
        (nested_list(100_000), "nested deeper"),
        (b"\x80\x02}X\x01\x00\x00\x00a]q\x00h\x00as.", "holds itself"),
        (b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "a tuple as a key"),  # hashing it ends the process
        (b"\x80\x02}r\xff\xff\xff\x7fK\x01K\x01s.", "int among its names"),  # in a list, the memo is tens of GiB
        (b"\x80\x02}X\x01\x00\x00\x00a\x82\x01s.", "opcode EXT1"),
        (b"\x80\x04}\x8e" + struct.pack("<Q", 2**60) + b".", "not a readable data_info pickle"),
        (b"\x80\x05}\x96" + struct.pack("<Q", 2**60) + b".", "not a readable data_info pickle"),
        (b"." * (safe_files.MAX_DATA_INFO_BYTES + 1), "expected at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_broken_data_info_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ModelError) as error:
        read_data_info(path)
    assert words in message_of(error, path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_pickles_are_read_or_refused_but_never_raise_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(data_info(), data.draw(st.sampled_from(PROTOCOLS))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_data_info(written(tmp_path, bytes(content)))
    except ModelError:
        return  # any other exception fails the test


BOMBS = {
    "tuples that hash 2**40 times": b"\x80\x02}" + shared(40, 2, b"t") + b"Ns.",
    "lists that unfold to 2**40": pickled_with(shared(40, 2, b"l"), "a"),
    "keys whose hashes collide": b"\x80\x02}"
    + b"".join(b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") + b"Ns" for k in range(1, 1000))
    + b".",
    "text repeated": pickled_with(text("x" * 10**5) + b"q\x000(" + b"h\x00" * 10**4 + b"l", "a"),
    "text encoded again and again": pickled_with(
        text("x" * 10**5) + b"q\x000c_codecs\nencode\nq\x010(" + b"h\x01h\x00X\x06\0\0\0latin1\x86R" * 10**4 + b"l", "a"
    ),
    "a number of 100,000 bits": pickled_with(pickle.dumps(2**100_000, 2)[2:-1], "a"),
    "more operations than any file needs": b"\x80\x02}" + b"N0" * 300_000 + b".",
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_what_a_few_bytes_unfold_to_is_bounded_before_it_is_made(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, BOMBS[name])
    with pytest.raises(ModelError) as error:
        read_data_info(path)
    message_of(error, path)


def test_yaml_aliases_count_as_what_they_stand_for(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "a: &x [1, 2]\nb: *x\n")) == {"a": [1, 2], "b": [1, 2]}
    for levels, width in ((10, 10), (40, 1)):  # wide, and deep
        path = written(tmp_path, yaml_aliases(levels, width))
        with pytest.raises(ModelError) as error:
            read_config(path)
        message_of(error, path)


@pytest.mark.parametrize("value", ["0x" + "f" * 1000, "!!set {a}", "!!binary aGk=", "&a [*a]", "!!omap [a: 1]"])
def test_yaml_values_of_unusual_types_are_one_line(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, f"a: {value}\n")
    with pytest.raises(ModelError) as error:
        read_config(path)
    message_of(error, path)


def test_yaml_dates_stay_text(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "a: 2020-01-01\n")) == {"a": "2020-01-01"}


@pytest.mark.parametrize(
    "facts",
    [
        {"output_dimension": 10**30},
        {"output_dimension": float("inf")},
        {"output_dimension": float("nan")},
        {"output_dimension": [5]},
        {"input_dimensions": (32, 2, 50, 10**9, 10**9)},
        {"group_assignment": [float("inf")] * 5},
        {"group_names": {1: "x" * 10**5}},
        {"group_names": {1: "\x1b[31m"}},
    ],
)
def test_declared_sizes_and_names_are_within_bounds(tmp_path: Path, facts: dict[str, Any]) -> None:
    good = {"input_dimensions": (32, 2, 50, 18, 16), "output_dimension": 5}
    assert read_recording(written(tmp_path, pickle.dumps({"s": good}))).sessions == {"s": 5}
    with pytest.raises(ModelError) as error:
        read_recording(written(tmp_path, pickle.dumps({"s": {**good, **facts}})))
    assert len(str(error.value)) < 500
    assert len(str(error.value).splitlines()) == 1


def test_a_recording_has_no_more_sessions_than_can_be_built(tmp_path: Path) -> None:
    good = {"input_dimensions": (32, 2, 50, 18, 16), "output_dimension": 5}
    with pytest.raises(ModelError, match="10000 sessions"):
        read_recording(written(tmp_path, pickle.dumps({f"s{i}": good for i in range(10**4)})))


# --- state_dict


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "core.weight": torch.randn(3, 2, 5, generator=generator),
        "core.norm.num_batches_tracked": torch.tensor(7),
        "core.half": torch.randn(4, generator=generator).to(torch.bfloat16),
        "readout.transposed": torch.randn(3, 2, generator=generator).T,
    }


def saved(value: Any, *, legacy: bool = False, **keywords: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not legacy, **keywords)
    return stream.getvalue()


def rewritten(archive: bytes, old: bytes, new: bytes) -> bytes:
    """The archive with some opcodes of its pickle replaced."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(stream, "w") as target:
        for record in source.namelist():
            content = source.read(record)
            if record.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            target.writestr(record, content)
    return stream.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("container", [dict, OrderedDict])
def test_weights_read_exactly_from_both_formats(tmp_path: Path, container: type, legacy: bool) -> None:
    read = read_state_dict(written(tmp_path, saved(container(weights()), legacy=legacy), "state_dict.pth.tar"))
    assert list(read) == list(weights())
    for name, value in weights().items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value)
        assert type(read[name]) is torch.Tensor
        assert not read[name].requires_grad


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dict_of_a_module_reads(tmp_path: Path, legacy: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1), torch.nn.BatchNorm3d(3))
    for state in (module.state_dict(), dict(module.named_parameters()), module.state_dict(keep_vars=True)):
        read = read_state_dict(written(tmp_path, saved(state, legacy=legacy)))
        assert all(torch.equal(read[name], value) for name, value in state.items())
        assert not any(value.requires_grad for value in read.values())


def test_weights_saved_on_a_gpu_land_on_the_cpu(tmp_path: Path) -> None:
    archive = rewritten(saved(weights()), b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    read = read_state_dict(written(tmp_path, archive))
    assert {value.device.type for value in read.values()} == {"cpu"}
    assert torch.equal(read["core.weight"], weights()["core.weight"])


@pytest.mark.parametrize("form", ["zip", "legacy", "protocol 2", "protocol 4"])
@pytest.mark.parametrize("name", list(hostile_calls(Path("marker"))))
def test_hostile_checkpoint_is_refused_by_name_and_does_not_run(tmp_path: Path, name: str, form: str) -> None:
    marker = tmp_path / "marker"
    payload = {"core.weight": hostile_calls(marker)[name]}
    make = {
        "zip": saved,
        "legacy": partial(saved, legacy=True),
        "protocol 2": partial(pickle.dumps, protocol=2),
        "protocol 4": partial(pickle.dumps, protocol=4),
    }[form]
    path = written(tmp_path, make(payload))
    with pytest.raises(UnsafeFileError) as error:
        read_state_dict(path)
    assert name.rpartition(".")[2] in message_of(error, path)
    assert not marker.exists()


def tar_archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", "sys_info"):
            content = pickle.dumps({"protocol_version": 1000}, 2)
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return stream.getvalue()


def zip_archive(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar_archive(), "tar archive"),
        (
            zip_archive({"a/data.pkl": b"\x80\x02}.", "a/constants.pkl": b"\x80\x02).", "a/version": b"3"}),
            "TorchScript",
        ),
    ],
)
def test_kinds_of_file_that_old_torch_may_execute_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UnsafeFileError) as error:
        read_state_dict(path)
    assert words in message_of(error, path)


def flipped(content: bytes) -> bytes:
    """One bit of the first weight turned over."""
    at = content.index(struct.pack("<f", weights()["core.weight"].flatten()[0].item()))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, I am text", "not a readable checkpoint"),
        (b"<!DOCTYPE html><html>", "not a readable checkpoint"),
        (b"\0" * 10240, "not a readable checkpoint"),
        (pickle.dumps({"a": 1}, 2), "not a readable checkpoint"),
        (pickle.dumps({"a": 1}, 4), "not a readable checkpoint"),
        (saved(weights())[:-500], "not a readable checkpoint"),
        (saved(weights())[:100], "not a readable checkpoint"),
        (saved(weights(), legacy=True)[:-1], "not a readable checkpoint"),
        (saved(weights(), legacy=True)[:50], "not a readable checkpoint"),
        (flipped(saved(weights())), "does not match its checksum"),
        (zip_archive({"a.txt": b"a"}), "not a readable checkpoint"),
        (zip_archive({"a/data.pkl": b"\0" * 10**6}, zipfile.ZIP_DEFLATED), "more than its own size"),
        (zip_archive({"a/data.pkl": b"\x80\x02}r\xff\xff\xff\x7fK\x01K\x01s."}), "int among its names"),
        (zip_archive({"a/data.pkl": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."}), "a tuple as a key"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_broken_checkpoint_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ModelError) as error:
        read_state_dict(path)
    assert words in message_of(error, path)


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has been announcing the end of quantised tensors since 2.10
        return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(3), "holds a Tensor"),
        ([torch.zeros(3)], "holds a list"),
        ({0: torch.zeros(3)}, "int among its names"),
        ({"a": 1.0}, "is a float, not a tensor"),
        ({"state_dict": {"a": torch.zeros(3)}}, "state_dict is a dict, not a tensor"),
        ({"a": torch.zeros(3, dtype=torch.complex64)}, "Complex"),
        ({"a": torch.eye(3).to_sparse()}, "sparse"),
        ({"a": torch.empty(3, device="meta")}, "meta"),
        ({"a": torch.zeros(1).expand(10**6)}, "larger than its storage"),
    ],
)
def test_what_is_no_mapping_of_dense_tensors_is_refused(tmp_path: Path, value: Any, words: str) -> None:
    path = written(tmp_path, saved(value))
    with pytest.raises(ModelError) as error:
        read_state_dict(path)
    assert words in message_of(error, path)


def test_quantised_weights_are_refused_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = written(tmp_path, saved({"a": quantised()}))
    with pytest.raises(ModelError) as error:
        read_state_dict(path)
    message_of(error, path)


def test_weights_larger_than_their_file_are_refused(tmp_path: Path) -> None:
    # four elements that the pickle calls a billion: old torch reads past the end, new torch notices
    archive = saved({"a": torch.zeros(4)})
    path = written(tmp_path, rewritten(archive, b"K\x04", b"J\x00\xca\x9a\x3b"))
    with pytest.raises(ModelError) as error:
        read_state_dict(path)
    message_of(error, path)


# --- all readers


@pytest.mark.parametrize("read", [read_config, read_data_info, read_state_dict])
def test_missing_files_and_folders_are_named(tmp_path: Path, read: Any) -> None:
    with pytest.raises(ModelError, match="does not exist") as error:
        read(tmp_path / "missing")
    message_of(error, tmp_path / "missing")
    with pytest.raises(ModelError, match="is not a file"):
        read(tmp_path)


def test_digest_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        written(folder, b"first", "a")
        written(folder, b"second", "b")
    one, two = ([folder / "a", folder / "b"] for folder in folders)
    original = sha256_of(one)
    assert sha256_of(reversed(two)) == original
    listing = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in one)
    assert original == hashlib.sha256(listing.encode()).hexdigest()
    (folders[1] / "b").rename(folders[1] / "c")
    assert sha256_of([folders[1] / "a", folders[1] / "c"]) != original
    (folders[0] / "b").write_bytes(b"Second")
    assert sha256_of(one) != original
    assert sha256_of(one[:1]) != original


def test_digest_of_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        sha256_of([tmp_path / "missing"])


def test_the_hand_made_pickles_are_well_formed() -> None:
    """So that the tests above fail for the reason they state, and not for a typing error."""
    for content in (
        numpy_array((2,), FLOATS, b"12345678"),
        nested_list(10),
        b"\x80\x02}X\x01\x00\x00\x00a]q\x00h\x00as.",
    ):
        assert [opcode.name for opcode, _, _ in pickletools.genops(content)][-1] == "STOP"
