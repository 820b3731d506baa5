"""Stimuli are read without torch, exactly, and no file is trusted; their description tells ON from OFF."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from openretina_cli.analysis.decomposition import amplitude_spectrum, decompose
from openretina_cli.analysis.description import describe_stimulus
from openretina_cli.errors import ArtifactError
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.store.stimulus_file import read_members_file, read_stimulus_file

SHAPE = (2, 5, 4, 3)
NUMBERS = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)


def save(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    (tmp_path / "stimulus.pt").write_bytes(tensor_bytes(NUMBERS))
    return tmp_path / "stimulus.pt"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.from_numpy(NUMBERS)[None],
        torch.from_numpy(NUMBERS),
        torch.randn(1, 1, 1, 1, 1),
        torch.randn(1, 300, 4, 70),  # lengths that take every width of integer
        torch.randn(4, *SHAPE)[2:3],  # a part of a larger memory
    ],
    ids=["run", "without batch", "one pixel", "large", "view"],
)
def test_what_is_read_is_what_torch_reads(tensor: torch.Tensor, tmp_path: Path) -> None:
    path = save(tensor, tmp_path / "stimulus.pt")
    expected = torch.load(path, weights_only=True).numpy()
    found = read_stimulus_file(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.reshape(expected.shape[-4:]))


def test_numbers_that_are_not_finite_are_read_as_they_are(tmp_path: Path) -> None:
    tensor = torch.tensor([np.nan, np.inf, -np.inf, -0.0]).reshape(1, 1, 4, 1, 1)
    np.testing.assert_array_equal(read_stimulus_file(save(tensor, tmp_path / "s.pt")).ravel(), tensor.numpy().ravel())


def test_a_stack_of_stimuli_is_read_as_torch_reads_it_and_has_limits(tmp_path: Path) -> None:
    stack = torch.randn(7, 2, 3, 4, 5)
    assert (read_members_file(save(stack, tmp_path / "members.pt")) == stack.numpy()).all()
    for shape in ((101, 1, 1, 1, 1), (2, 17, 1, 1, 1), (3, 4, 5)):
        with pytest.raises(ArtifactError, match="is not a readable stack of stimuli: its shape is"):
            read_members_file(save(torch.zeros(shape), tmp_path / "members.pt"))


@pytest.mark.parametrize(
    "value",
    [
        {"stimulus": torch.zeros(1, *SHAPE)},
        torch.zeros(1, *SHAPE, dtype=torch.float64),
        torch.zeros(1, *SHAPE, dtype=torch.bfloat16),
        torch.zeros(1, *SHAPE, dtype=torch.int32),
        torch.zeros(2, *SHAPE),
        torch.zeros(5, 4, 3),
        torch.zeros(1, 2, 0, 4, 3),
        torch.zeros(1, *SHAPE).transpose(3, 4),
        torch.zeros(1).expand(1, *SHAPE),
        torch.nn.Parameter(torch.zeros(1, *SHAPE)),
        torch.zeros(4, 4).to_sparse(),
        [1, 2.5, "text"],
        None,
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_anything_but_a_float32_stimulus_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"s\.pt is not a readable stimulus"):
        read_stimulus_file(save(value, tmp_path / "s.pt"))


class Trap:
    """Would make a file if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        trap = pickle.dumps(Trap(target), protocol)
        rewrite(saved, {**members(saved), "archive/data.pkl": trap})
        with pytest.raises(ArtifactError):
            read_stimulus_file(saved)
    assert not target.exists()


def replaced(old: bytes, new: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(contents: dict[str, bytes]) -> dict[str, bytes]:
        (name,) = (name for name in contents if name.endswith("data.pkl"))
        assert old in contents[name]
        return {**contents, name: contents[name].replace(old, new, 1)}

    return change


def without(ending: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda contents: {name: content for name, content in contents.items() if not name.endswith(ending)}


BROKEN: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "no description": without("data.pkl"),
    "no numbers": without("data/0"),
    "two descriptions": lambda c: {**c, "other/data.pkl": b""},
    "empty description": lambda c: {**c, "stimulus/data.pkl": b"", "archive/data.pkl": b""},
    "too few numbers": lambda c: {name: v[:-4] if name.endswith("data/0") else v for name, v in c.items()},
    "shape beyond its numbers": replaced(b"K\x05K\x04K\x03t", b"K\x06K\x04K\x03t"),
    "shape of billions": replaced(b"K\x05K\x04K\x03t", b"J\xff\xff\xff\x7fK\x04K\x03t"),
    "negative shape": replaced(b"K\x05K\x04K\x03t", b"J\xff\xff\xff\xffK\x04K\x03t"),
    "shape of texts": replaced(b"K\x05K\x04K\x03t", b"X\x01\x00\x00\x00aK\x04K\x03t"),
    "another function": replaced(b"_rebuild_tensor_v2", b"_rebuild_parameter"),
    "another kind of numbers": replaced(b"FloatStorage", b"DoubleStorage"),
    "a member elsewhere": replaced(b"X\x01\x00\x00\x000", b"X\x04\x00\x00\x00../0"),
    "cut off": lambda c: {name: v[:90] if name.endswith("data.pkl") else v for name, v in c.items()},
    "no mark": lambda c: {name: b"\x80\x02t." if name.endswith("data.pkl") else v for name, v in c.items()},
    "a memo never set": lambda c: {
        name: b"\x80\x02h\x05." if name.endswith("data.pkl") else v for name, v in c.items()
    },
    "an endless number": lambda c: {
        name: b"\x80\x02\x8b\xff\xff\xff\x7f." if name.endswith("data.pkl") else v for name, v in c.items()
    },
    "a long description": lambda c: {name: v + bytes(70_000) if name.endswith(".pkl") else v for name, v in c.items()},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_archives_are_refused_in_one_line(fault: str, saved: Path) -> None:
    rewrite(saved, BROKEN[fault](members(saved)))
    with pytest.raises(ArtifactError, match="is not a readable stimulus") as raised:
        read_stimulus_file(saved)
    assert "\n" not in str(raised.value)


def test_a_compressed_member_is_refused_before_it_is_unpacked(saved: Path) -> None:
    rewrite(saved, members(saved), zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="compressed"):
        read_stimulus_file(saved)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18), pickle.dumps(OrderedDict())])
def test_what_is_no_archive_is_refused(content: bytes, saved: Path) -> None:
    saved.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a readable stimulus"):
        read_stimulus_file(saved)


def test_every_cut_and_every_changed_byte_is_read_right_or_refused(saved: Path) -> None:
    """A changed byte of the numbers is found by the archive's checksum; of padding, nobody minds."""
    content = saved.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(content), 300):
        for broken in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            saved.write_bytes(broken)
            with contextlib.suppress(ArtifactError):
                np.testing.assert_array_equal(read_stimulus_file(saved), NUMBERS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        read_stimulus_file(tmp_path / "stimulus.pt")


def test_the_byte_order_is_that_of_the_file(saved: Path) -> None:
    contents = members(saved)
    (order,) = (name for name in contents if name.endswith("byteorder"))
    (numbers,) = (name for name in contents if name.endswith("data/0"))
    contents |= {order: b"big", numbers: np.frombuffer(contents[numbers], "<f4").astype(">f4").tobytes()}
    np.testing.assert_array_equal(read_stimulus_file(rewrite(saved, contents)), NUMBERS)


def test_reading_and_describing_wait_for_no_torch() -> None:
    code = "import sys; import openretina_cli.store.stimulus_file, openretina_cli.analysis.description; "
    code += "print(sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


# --- the description -------------------------------------------------------------------------------------------------


def flash(sign: float) -> np.ndarray:
    """A spot of light or dark after a weaker one of the other sign, as cells with a biphasic filter like it."""
    rows, columns = np.mgrid[:18, :16]
    spot = np.exp(-((rows - 5) ** 2 + (columns - 11) ** 2) / 6.0)
    course = np.zeros(50)
    course[30:40], course[40:48] = -0.6 * sign, sign
    return (course[:, None, None] * spot).astype(np.float32)


def test_light_is_on_dark_is_off_and_grey_is_neither() -> None:
    found = describe_stimulus(np.stack([flash(1), flash(-2), 0 * flash(1)]), ("green", "uv", "red"), 30.0)
    assert [found[channel]["polarity"] for channel in ("green", "uv", "red")] == ["on", "off", None]
    numbers = {name: value for name, value in found["red"].items() if name not in ("reasons", "explained_variance")}
    assert found["red"]["explained_variance"] == 0.0
    assert set(numbers.values()) == {None}
    assert set(found["red"]["reasons"].values()) == {"the channel is grey"}


def test_the_numbers_are_those_of_the_decomposition() -> None:
    noisy = flash(1) + np.random.default_rng(0).normal(0, 0.1, (50, 18, 16))
    found = describe_stimulus(noisy[None], ("green",), 30.0)["green"]
    part = decompose(noisy.astype(np.float32))
    assert found["explained_variance"] == part.explained_variance
    assert found["centre_frequency_hz"] == amplitude_spectrum(part.temporal, 30.0).weighted_frequency


@pytest.mark.parametrize(("frames", "rate"), [(1, 30.0), (50, None)])
def test_where_there_is_no_time_there_is_no_frequency(frames: int, rate: float | None) -> None:
    found = describe_stimulus(flash(1)[None, 40 : 40 + frames], ("grey",), rate)["grey"]
    assert found["centre_frequency_hz"] is None
    assert found["polarity"] == "on"


def test_the_description_is_plain_json() -> None:
    text = json.dumps(describe_stimulus(flash(1)[None], ("grey",), 30.0), allow_nan=False)
    assert json.loads(text)["grey"]["polarity"] == "on"
