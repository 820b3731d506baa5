"""Exported stimuli: files read back by other readers, orders, answers of the twin, mistakes, and nothing half done."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import h5py
import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from numpy.typing import NDArray

from openretina_cli.export.geometry import geometry_of
from openretina_cli.export.grey import Grey
from openretina_cli.export.order import rounds_of
from openretina_cli.export.settings import GeometrySettings
from openretina_cli.format.base import Format
from openretina_cli.format.qdspy import Qdspy
from openretina_cli.main import main

MEAN, SD = (37.417, 36.132), (28.905, 39.841)  # the statistics per channel of Hoefling's movies
GREY = (f"export.grey.mean=[{MEAN[0]},{MEAN[1]}]", f"export.grey.sd=[{SD[0]},{SD[1]}]")
PLAIN = ("export.preview=false",)
BACKGROUND = (37, 36)
Frames = NDArray[np.uint8]


@pytest.fixture(scope="session")
def norm_5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stimuli of norm 5 of 20 cells of the default model."""
    folder = tmp_path_factory.mktemp("norm_5")
    assert main(["optimize", "-m", "neuron=0..19", "device=cpu", "output=minimal", f"out={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def norm_30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stimuli of norm 30 of the same cells."""
    folder = tmp_path_factory.mktemp("norm_30")
    words = ["neuron=0..19", "stimulus.norm=30", "device=cpu", "output=minimal"]
    assert main(["optimize", "-m", *words, f"out={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def three(norm_5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for neuron in range(3):
        shutil.copytree(norm_5 / f"neuron={neuron}", folder / f"neuron={neuron}")
    return folder


def export(*words: str, ask: bool = False) -> int:
    return main(["export", *PLAIN, *words, *GREY, f"export.ask={str(ask).lower()}", "device=cpu"])


def record(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def protocol(folder: Path) -> list[dict[str, str]]:
    with (folder / "protocol.csv").open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def expected_stimulus(run: Path) -> NDArray[np.float32]:
    stimulus: NDArray[np.float32] = torch.load(run / "stimulus.pt", weights_only=True)[0].numpy()
    return stimulus


def expected_levels(run: Path) -> Frames:
    """Levels `(time, height, width, channel)` of a run's stimulus, by the definition and nothing else."""
    stimulus = expected_stimulus(run).astype(np.float64)
    levels = [np.rint(mean + sd * channel).clip(0, 255) for mean, sd, channel in zip(MEAN, SD, stimulus, strict=True)]
    return np.stack(levels, axis=-1).astype(np.uint8)


def expected_film(run: Path, *, factor: int = 2, hold: int = 2, before: int = 3) -> Frames:
    """What is shown of a run: pixels and frames repeated, background before."""
    levels = expected_levels(run)
    large = np.kron(levels, np.ones((hold, factor, factor, 1), np.uint8))
    return np.concatenate([np.broadcast_to(np.array(BACKGROUND, np.uint8), (before, *large.shape[1:])), large])


TWICE = ("export.geometry.factor=2", "export.time.rate=60", "export.time.before_s=0.05")
"""Factor 2, each frame twice, three frames of background before: what `expected_film` says."""


def colored(film: Frames) -> Frames:
    """Green in G, UV in B."""
    return np.concatenate([np.zeros_like(film[..., :1]), film], axis=-1)


def decoded(path: Path) -> Frames:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
        assert container.streams.video[0].average_rate == 60
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_avi(folder: Path, name: str) -> Frames:
    return decoded(folder / f"{name}.avi")


def read_png(folder: Path, name: str) -> Frames:
    files = sorted((folder / name).iterdir())
    assert [file.name for file in files] == [f"{number:06d}.png" for number in range(len(files))]
    return np.stack([np.rint(255 * imread(file)).astype(np.uint8) for file in files])


def read_npz(folder: Path, name: str) -> Frames:
    with np.load(folder / "stimuli.npz", allow_pickle=False) as stack:
        assert stack["axes"].tolist() == ["time", "height", "width", "channel"]
        assert stack["channels"].tolist() == ["green", "uv"]
        film: Frames = stack[name]
    return film


def read_mat(folder: Path, name: str) -> Frames:
    frames: Frames = scipy.io.loadmat(folder / f"{name}.mat")["frames"]
    return np.moveaxis(frames, 3, 0)


def read_hdf5(folder: Path, name: str) -> Frames:
    with h5py.File(folder / "stimuli.h5") as file:
        data = file["stimuli"][name]
        assert data.chunks == (1, *data.shape[1:])
        assert file.attrs["rate_hz"] == 60
        film: Frames = data[()]
    return film


READERS: dict[str, tuple[Callable[[Path, str], Frames], bool]] = {
    "avi": (read_avi, True),
    "png": (read_png, True),
    "npz": (read_npz, False),
    "mat": (read_mat, False),
    "hdf5": (read_hdf5, False),
}


@pytest.mark.parametrize("name", READERS)
def test_another_reader_finds_every_byte(name: str, three: Path, tmp_path: Path) -> None:
    read, in_colors = READERS[name]
    assert export(str(three), f"format={name}", f"out={tmp_path / '50%d off'}", *TWICE) == 0
    for neuron in range(3):
        film = expected_film(three / f"neuron={neuron}")
        found = read(tmp_path / "50%d off", f"neuron_{neuron}")
        assert np.array_equal(found, colored(film) if in_colors else film)


def read_dmd(folder: Path, order: str, row_order: str, invert: bool) -> tuple[list[Frames], list[int]]:
    """The images of a bank, and the image of every frame, from the facts about the files alone."""
    content = (folder / "stimulus.bin").read_bytes()
    width, height, count, bits = struct.unpack(f"{order}4H", content[:8])
    assert bits == 8
    assert len(content) == 8 + width * height * count
    raw = np.frombuffer(content, np.uint8, offset=8).reshape(count, -1)
    images = [image.reshape((height, width), order="F" if row_order == "columns" else "C") for image in raw]
    lines = (folder / "stimulus_60hz.vec").read_text().splitlines()
    assert lines[0] == f"0 {len(lines) - 1} 0 0 0"
    return [255 - image if invert else image for image in images], [int(line.split()[1]) for line in lines[1:]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("row_order", ["rows", "columns"])
@pytest.mark.parametrize("invert", [False, True])
def test_a_dmd_shows_every_byte(order: str, row_order: str, invert: bool, three: Path, tmp_path: Path) -> None:
    how = [f"format.byte_order={'little' if order == '<' else 'big'}", f"format.row_order={row_order}"]
    how += [f"format.invert={str(invert).lower()}", "format.width=40", "format.height=38", "format.channel=uv"]
    twice = (*TWICE, "export.protocol.repeats=2", "export.tolerance=1")  # green, which is not shown, is lost
    assert export(str(three), "format=dmd", f"out={tmp_path / 'x'}", *how, *twice, ask=True) == 0
    images, sequence = read_dmd(tmp_path / "x", order, row_order, invert)
    assert len(images) == 1 + 3 * 50
    frames = [images[number] for number in sequence]
    repetitions = (tmp_path / "x" / "repetitions.csv").read_bytes().decode().split("\r\n")[1:-1]
    rows = protocol(tmp_path / "x")
    assert len(frames) == len(rows)
    assert [int(line.split(";")[0]) for line in repetitions] == [1, 2, 3, 4, 5, 6]
    for line in repetitions:
        start, end = int(line.split(";")[1]) - 1, int(line.split(";")[2])  # from 1, the last one included
        film = expected_film(three / rows[start]["run"])[..., 1]
        padded = np.full((len(film), 38, 40), BACKGROUND[1], np.uint8)
        padded[:, 1:37, 4:36] = film
        assert np.array_equal(np.stack(frames[start:end]), padded)


def test_a_dmd_refuses_two_colours_unless_the_loss_is_let_pass_and_says_how_one_is_made(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("format=dmd", "format.channel=green", "format.width=40", "format.height=38", f"out={tmp_path / 'x'}")
    assert export(str(three), *small) == 2
    assert "neuron_0 has contrast in uv, of which the format shows nothing" in capsys.readouterr().err
    assert export(str(three), *small, ask=True) == 1
    line = capsys.readouterr().err
    assert "the format shows nothing of uv, which 56% of the squared norm are in" in line
    repair = line.partition("Try: openretina optimize ")[2].partition(", which leaves")[0].replace("'", "").split()
    assert main(["optimize", "-m", *repair, "neuron=0..2", "output=minimal", f"out={tmp_path / 'green'}"]) == 0
    assert export(str(tmp_path / "green"), *small, ask=True) == 0
    for clip in record(tmp_path / "x")["clips"]:
        assert (clip["share_not_shown"], clip["norm"]) == (0, pytest.approx(5, rel=1e-6))
        assert abs(clip["response"]["loss"]) < 0.02


class Recorder(ModuleType):
    """Stands for QDSpy, and keeps what a script asks of it."""

    def __init__(self) -> None:
        super().__init__("QDS")
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, arguments))


def test_the_script_of_qdspy_names_files_that_exist_and_follows_the_protocol(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x"
    place = "export.protocol.positions=[[10,20],[-5,0],[0,7.5]]"
    times = ("export.time.interval_s=0.5", "export.time.adaptation_s=2", "export.protocol.repeats=4")
    words = (place, *times, "export.protocol.blocks=2", "export.geometry.rotate=90")
    assert export(str(three), "format=qdspy", f"out={out}", *TWICE, *words) == 0
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "QDS", recorder)
    exec(compile((out / "present.py").read_text(), "present.py", "exec"), {})  # noqa: S102  # of our own making
    videos = {arguments[0]: arguments[1] for name, arguments in recorder.calls if name == "DefObj_Video"}
    assert all((out / name).is_file() for name in videos.values())
    rows = protocol(out)
    starts = [row for row in rows if row["file_frame"] == "0"]
    shown = [arguments for name, arguments in recorder.calls if name == "Start_Video"]
    assert [videos[arguments[0]] for arguments in shown] == [row["file"] for row in starts]
    assert [arguments[1] for arguments in shown] == [(float(row["x_um"]), float(row["y_um"])) for row in starts]
    assert {arguments[1] for arguments in shown} == {(20.0, -10.0), (0.0, 5.0), (7.5, 0.0)}  # turned with the picture
    assert {arguments[2] for arguments in shown} == {(25.0, 25.0)}
    seconds = sum(arguments[0] for name, arguments in recorder.calls if name == "Scene_Clear")
    assert seconds == pytest.approx(2 + len(rows) / 60, abs=1e-6)  # sums of a hundred multiples of 1/60
    marked = [arguments[0] for name, arguments in recorder.calls if name == "Scene_Clear" and arguments[1]]
    assert sum(marked) * 60 == pytest.approx(sum(row["trigger"] == "1" for row in rows), abs=1e-6)
    assert ("SetBkgColor", ((0, *BACKGROUND),)) in recorder.calls
    film = expected_film(three / "neuron=1")
    square = np.empty((105, 36, 36, 2), np.uint8)  # one frame of background more, and as many as are read
    square[:] = BACKGROUND
    square[: len(film), 2:34] = np.rot90(film, -1, (1, 2))
    assert np.array_equal(decoded(out / "neuron_1.avi"), colored(square)[:, ::-1])
    with av.open(str(out / "neuron_1.avi")) as container:  # FFmpeg prints and QDSpy reads hundredths of a second
        assert int((container.duration + 5000) // 10_000 / 100 * 60) == 105


# Seen with the reader of QDSpy 0.9.6, moviepy 2.2.1, on films of FFV1 at 60 Hz: frames in the file, frames read.
READ = {99: 99, 100: 100, 101: 100, 103: 103, 110: 109, 127: 127, 128: 127, 130: 130, 131: 130, 200: 199, 333: 333}


@pytest.mark.parametrize("frames", READ)
def test_a_film_is_longer_where_qdspy_would_lose_its_last_frame(frames: int) -> None:
    kept = Qdspy().film_length(frames - 1, 60.0) == frames  # one of background is added in any case
    assert kept == (READ[frames] == frames)


def test_the_protocol_agrees_with_the_video_at_fifty_places(three: Path, tmp_path: Path) -> None:
    fine = ("export.grey.mean=128", "export.grey.sd=100")  # so that the reversed ones are the others' mirror images
    words = (*TWICE, *fine, "export.protocol.repeats=3", "export.protocol.controls=[shuffle,reversed]")
    times = ("export.time.interval_s=0.1", "export.time.adaptation_s=0.3", "export.ask=false", *PLAIN)
    assert main(["export", str(three), "format=avi", f"out={tmp_path / 'x'}", *words, *times]) == 0
    rows = protocol(tmp_path / "x")
    films = {path.name: decoded(path) for path in (tmp_path / "x").glob("*.avi")}
    assert [int(row["frame"]) for row in rows] == [*range(len(rows))]
    stimuli = {run.name: expected_stimulus(run) for run in three.iterdir()}
    shuffles: dict[str, dict[int, int]] = {name: {} for name in stimuli}
    for number in np.random.default_rng(0).choice(len(rows), 50, replace=False):
        row = rows[number]
        if row["condition"] == "background":
            assert row["file"] == row["stimulus_frame"] == ""
            continue
        found = films[row["file"]][int(row["file_frame"])][::2, ::2, 1:].astype(int) - 128
        frames = np.moveaxis(np.rint(100 * stimuli[row["run"]].astype(float)), 0, -1).astype(int)
        frames = -frames if row["condition"] == "reversed" else frames
        if row["stimulus_frame"] and row["condition"] == "shuffle":
            (same,) = np.flatnonzero((frames == found).all((1, 2, 3)))
            assert shuffles[row["run"]].setdefault(int(row["stimulus_frame"]), int(same)) == same
        else:
            assert np.array_equal(found, frames[int(row["stimulus_frame"])] if row["stimulus_frame"] else 0 * found)
    assert sum(row["condition"] == "background" for row in rows) == 18 + 27 * 6


@given(
    st.sampled_from(["random", "sequential", "latin"]),
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(0, 2**63 - 1),
)
def test_every_stimulus_is_shown_as_often_and_none_follows_itself(
    order: str, count: int, repeats: int, seed: int
) -> None:
    if order == "latin" and count == 2:
        return
    rounds = rounds_of(order, count, repeats, seed)
    flat = [place for part in rounds for place in part]
    assert rounds == rounds_of(order, count, repeats, seed)
    assert Counter(flat) == dict.fromkeys(range(count), repeats)
    assert all(sorted(part) == [*range(count)] for part in rounds)
    assert count == 1 or all(first != second for first, second in pairwise(flat))


@given(st.integers(2, 12), st.integers(0, 99))
def test_rows_of_a_latin_order_have_each_stimulus_once_in_each_place_and_each_pair_once(half: int, seed: int) -> None:
    count = 2 * half
    rounds = rounds_of("latin", count, count, seed)
    assert all(len(set(column)) == count for column in zip(*rounds, strict=True))
    pairs = Counter(pair for part in rounds for pair in pairwise(part))
    assert len(pairs) == count * (count - 1)
    assert set(pairs.values()) == {1}


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.floats(1, 5),
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from(["none", "horizontal", "vertical"]),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.randoms(use_true_random=False),
)
def test_what_geometry_does_is_undone(
    shape: tuple[int, int], ratio: float, rotate: Any, flip: Any, pad: tuple[int, int], random: Any
) -> None:
    settings = GeometrySettings(um_per_pixel=50 / ratio, factor=None, size=None, rotate=rotate, flip=flip)
    bare = geometry_of(settings, shape, 50.0, Format())
    settings.size = [bare.size[0] + pad[0], bare.size[1] + pad[1]]
    geometry = geometry_of(settings, shape, 50.0, Format())
    levels = np.array([random.randrange(256) for _ in range(2 * shape[0] * shape[1] * 2)], np.uint8)
    pictures = levels.reshape(2, *shape, 2)
    shown = geometry.apply(pictures, (9, 7))
    assert shown.shape == (2, *settings.size, 2)
    assert np.array_equal(geometry.undo(shown, (9, 7)), pictures)
    counts = (geometry.rows, geometry.columns)
    edges = [np.abs(np.cumsum(part) - ratio * np.arange(1, len(part) + 1)).max() for part in counts]
    assert max(edges) <= 0.5 + 1e-9  # an edge is on the nearest device pixel


@pytest.mark.parametrize(
    ("size", "rotate", "factor"), [((60, 70), 0, 3), ((48, 90), 90, 3), ((768, 1024), 0, 42), ((9, 9), 0, 1)]
)
def test_pixels_are_repeated_as_often_as_the_device_has_room(size: tuple[int, int], rotate: Any, factor: int) -> None:
    settings = GeometrySettings(um_per_pixel=None, factor="fit", size=[*size], rotate=rotate, flip="none")
    geometry = geometry_of(settings, (18, 16), 50.0, Format())
    assert {*geometry.rows, *geometry.columns} == {factor}
    assert (geometry.size, geometry.pixel_size) == (size, 50 / factor)


def test_a_rotation_is_clockwise_and_a_crop_is_told(three: Path, tmp_path: Path) -> None:
    words = ("export.geometry.rotate=90", "export.geometry.flip=horizontal", "export.geometry.size=[12,18]")
    assert export(str(three / "neuron=0"), "format=npz", f"out={tmp_path / 'x'}", *words) == 0
    levels = expected_levels(three / "neuron=0")[:, :, ::-1]
    turned = levels[:, ::-1].swapaxes(1, 2)  # the last row becomes the first column
    assert np.array_equal(read_npz(tmp_path / "x", "neuron_0"), turned[:, 2:14])
    assert record(tmp_path / "x")["frame"] == {"size": [12, 18], "pixel_size_um": 50.0, "cropped": True}


def test_a_look_up_table_is_applied_and_undone(three: Path, tmp_path: Path) -> None:
    table = np.stack([255 - np.arange(256), np.arange(256) // 2], axis=1)
    np.savetxt(tmp_path / "lut.csv", table, "%d", ",")
    words = (f"export.grey.lut={tmp_path / 'lut.csv'}", "export.gamut=clip")
    assert export(str(three / "neuron=0"), "format=npz", f"out={tmp_path / 'x'}", *words) == 0
    levels = expected_levels(three / "neuron=0")
    looked_up = np.stack([table[levels[..., channel], channel] for channel in range(2)], axis=-1)
    assert np.array_equal(read_npz(tmp_path / "x", "neuron_0"), looked_up)
    grey = Grey(np.array(MEAN), np.array(SD), table.T.astype(np.uint8))
    stimulus = expected_stimulus(three / "neuron=0")
    gaps = np.abs(grey.values(looked_up.astype(np.float64)) - stimulus).max((1, 2, 3))
    # half a level by rounding; of the second channel also half of the two levels that the table makes one
    assert gaps[0] <= 0.5 / SD[0] + 1e-6
    assert gaps[1] <= 1.0 / SD[1] + 1e-6


def test_controls_keep_the_norm(three: Path, tmp_path: Path) -> None:
    movies = np.random.default_rng(0).standard_normal((2, 2, 80, 18, 16)).astype(np.float32)
    np.save(tmp_path / "movies.npy", movies)
    words = ("export.protocol.controls=[shuffle,reversed,natural]", f"export.protocol.movie={tmp_path / 'movies.npy'}")
    fine = ("export.grey.mean=128", "export.grey.sd=100", *PLAIN)
    out = f"out={tmp_path / 'x'}"
    assert main(["export", str(three / "neuron=0"), "format=npz", out, *words, *fine, "export.ask=false"]) == 0
    films = {kind: read_npz(tmp_path / "x", f"neuron_0{kind}") for kind in ("", "_shuffle", "_reversed", "_natural")}
    plain = films[""].astype(int) - 128
    order = [np.flatnonzero((plain == frame).all((1, 2, 3)))[0] for frame in films["_shuffle"].astype(int) - 128]
    assert sorted(order) == [*range(50)]
    assert order != [*range(50)]
    assert np.array_equal(films["_reversed"].astype(int) - 128, -plain)
    norms = [np.linalg.norm(film.astype(float) - 128) / 100 for film in films.values()]
    # rounding adds 1/12 of a squared level for each of 28,800 values to 500 squared levels: half a percent of the norm
    assert norms == pytest.approx([5.0] * 4, rel=0.01)


def test_the_twin_is_asked_again_and_loses_little_at_norm_5(norm_5: Path, tmp_path: Path) -> None:
    assert export(str(norm_5), "format=npz", f"out={tmp_path / 'x'}", "export.geometry.factor=3", ask=True) == 0
    found = record(tmp_path / "x")
    assert len(found["clips"]) == 20
    assert max(clip["response"]["loss"] for clip in found["clips"]) < 0.02
    assert all(clip["out_of_gamut_share"] == [0, 0] for clip in found["clips"])
    for clip in found["clips"]:
        result = json.loads((Path(clip["run"]) / "result.json").read_text())
        assert clip["response"]["response"] == pytest.approx(result["objective"]["final"], rel=1e-4)  # float32
        # uniform rounding: a level / sqrt(12) on average, half a level at most
        assert clip["rounding_error_rms"] < 1 / SD[0] / 12**0.5 * 1.1
        assert clip["rounding_error_largest"] <= 0.5 / SD[0] + 1e-5


def test_norm_30_is_beyond_the_display_refused_and_on_request_clipped_or_scaled(
    norm_30: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"out={tmp_path / 'x'}"
    assert export(str(norm_30), "format=npz", out, ask=True) == 2
    line = capsys.readouterr().err
    assert "of channel uv beyond the display (levels from -0.24" in line
    assert not (tmp_path / "x").exists()
    assert export(str(norm_30), "format=npz", out, "export.gamut=clip", ask=True) == 0
    for clip in record(tmp_path / "x")["clips"]:
        assert clip["out_of_gamut_share"][0] == 0 < clip["out_of_gamut_share"][1] < 0.05
        assert 0 < clip["response"]["loss"] < 0.05
    assert len(record(tmp_path / "x")["clips"]) == 20
    told = " ".join(capsys.readouterr().out.split())
    assert "beyond display green 0.00%, uv 0.51%, in 20 of 20 clips" in told
    assert "loss of response mean 1.08%, largest 1.26% (neuron=10)" in told
    assert export(str(norm_30), "format=npz", out, "export.gamut=scale", "overwrite=true", ask=True) == 0
    for clip in record(tmp_path / "x")["clips"]:
        assert clip["out_of_gamut_share"] == [0, 0]
        # the lowest UV value, -0.913, becomes level 0
        assert clip["scaled_by"] == pytest.approx(MEAN[1] / SD[1] / 0.913, rel=1e-5)


def test_a_centred_stimulus_is_put_where_its_cell_is(norm_5: Path, tmp_path: Path) -> None:
    words = ["neuron=0,4", "model.center_readouts=true", "device=cpu", "output=minimal"]
    assert main(["optimize", "-m", *words, f"out={tmp_path / 'centred'}"]) == 0
    where = "export.protocol.positions=cells"
    assert export(str(tmp_path / "centred"), "format=npz", f"out={tmp_path / 'x'}", where, ask=True) == 0
    for clip in record(tmp_path / "x")["clips"]:
        (neuron,) = clip["neurons"]
        stimulus = expected_stimulus(norm_5 / f"neuron={neuron}")
        energy = np.square(stimulus).sum((0, 1))
        rows, columns = (np.arange(edge) - (edge - 1) / 2 for edge in energy.shape)
        own = (energy.sum(0) @ columns, -(energy.sum(1) @ rows)) / energy.sum() * 50
        # the optimum without centring is where the cell is; its centre of energy is pulled by the noise of the start
        assert np.abs(own - clip["position_um"]).max() < 50
        assert np.abs(own).max() > 75


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        (("export.grey.mean=128", "export.grey.sd=0.3"), "levels were rounded"),
        (("export.grey.mean=0", "export.grey.sd=100", "export.gamut=clip"), "of a channel were clipped"),
    ],
)
def test_an_export_that_kills_the_response_fails_and_leaves_nothing(
    levels: tuple[str, ...], reason: str, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(three), "format=npz", f"out={tmp_path / 'a' / 'x'}", "device=cpu", *PLAIN]
    assert main([*words, *levels]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "a loss of" in line
    assert reason in line
    assert [*tmp_path.iterdir()] == []


# In KiB: less than the files of the format take (uncompressed 3 clips of 88 KiB, or one bank); for `avi` also less than
# the table of the protocol beside them, which is then the first that does not fit.
@pytest.mark.parametrize(
    ("name", "size"),
    [("avi", 8), ("avi", 200), ("png", 40), ("npz", 100), ("mat", 16), ("hdf5", 40), ("dmd", 100), ("qdspy", 8)],
)
def test_a_full_disk_leaves_nothing(
    name: str, size: int, small_disk: Callable[[int], Path], three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(size)
    small = ("format.channel=green", "format.width=40", "format.height=38") if name == "dmd" else ()
    words = (*small, "export.tolerance=1", "export.protocol.repeats=20")
    assert export(str(three), f"format={name}", f"out={disk / 'a' / 'x'}", *words, ask=name == "dmd") == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "cannot be written: No space left on device. Try: out=FOLDER" in line
    assert os.listdir(disk) == []


def test_a_killed_export_leaves_no_half_one_and_the_next_clears_up(norm_5: Path, tmp_path: Path) -> None:
    words = ["export", str(norm_5), "format=avi", f"out={tmp_path / 'x'}", *GREY, "export.ask=false", *PLAIN]
    large = "export.geometry.factor=16"  # of which writing takes seconds
    with subprocess.Popen(
        [sys.executable, "-m", "openretina_cli", *words, large], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("writing clips") for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert {name.partition("-")[0] for name in os.listdir(tmp_path)} == {".x.partial"}
    assert main(words) == 0
    assert os.listdir(tmp_path) == ["x"]


def test_the_digests_are_those_of_the_files_and_equal_exports_are_equal(three: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        assert export(str(three), "format=qdspy", f"out={tmp_path / name}", *TWICE) == 0
    first, second = record(tmp_path / "x"), record(tmp_path / "y")
    assert first == second
    names = {path.name for path in (tmp_path / "x").iterdir()} - {"export.json"}
    assert set(first["files"]) == names
    for clip in first["clips"]:
        run = three / clip["clip"].replace("_", "=")
        assert clip["run_sha256"] == hashlib.sha256((run / "result.json").read_bytes()).hexdigest()
        assert clip["stimulus_sha256"] == hashlib.sha256(expected_stimulus(run).tobytes()).hexdigest()
        assert clip["model_sha256"] == json.loads((run / "result.json").read_text())["model"]["sha256"]
    assert len(first["settings_sha256"]) == 64
    for name, digest in first["files"].items():
        assert hashlib.sha256((tmp_path / "x" / name).read_bytes()).hexdigest() == digest


def test_a_stack_of_stimuli_stands_for_its_folders(norm_5: Path, tmp_path: Path) -> None:
    assert export(str(norm_5 / "stimuli.npz"), "format=npz", f"out={tmp_path / 'x'}") == 0
    for neuron in (0, 7, 19):
        film = read_npz(tmp_path / "x", f"neuron_{neuron}")
        assert np.array_equal(film, expected_levels(norm_5 / f"neuron={neuron}"))
    assert not record(tmp_path / "x")["asked_again"]
    assert record(tmp_path / "x")["clips"][0]["response"] is None


ZOO = ("model=core_readout", "neuron=1", "stopper.max_iterations=1", "device=cpu", "output=minimal")


def test_levels_come_from_the_checkpoint(zoo: Path, tmp_path: Path) -> None:
    assert main(["optimize", *ZOO, f"model.path={zoo / 'separable.ckpt'}", f"out={tmp_path / 'run'}"]) == 0
    for ask in ("true", "false"):
        out = tmp_path / ask
        assert main(["export", str(tmp_path / "run"), "format=npz", f"out={out}", f"export.ask={ask}", *PLAIN]) == 0
        levels = record(out)["grey"]  # the statistics that the file holds, which are those of Hoefling's movies
        assert levels == {"mean": [36.979] * 2, "sd": [36.985] * 2, "background": [37, 37]}
        stimulus = expected_stimulus(tmp_path / "run").astype(np.float64)
        with np.load(out / "stimuli.npz") as stack:
            assert np.array_equal(np.moveaxis(stack["run"], 3, 0), np.rint(36.979 + 36.985 * stimulus))


@pytest.mark.parametrize("case", ["low_res", "colour_squash", "legacy_2025"], ids=["0 and 1", "NaN", "missing"])
def test_levels_that_are_none_are_required(
    case: str, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranges = ("model.stimulus_range=[[null,null],[null,null]]", "model.frame_rate=30", "model.pixel_size=50")
    assert main(["optimize", *ZOO, *ranges, f"model.path={zoo / f'{case}.ckpt'}", f"out={tmp_path / 'run'}"]) == 0
    words = ["export", str(tmp_path / "run"), "format=npz", f"out={tmp_path / 'x'}", *PLAIN]
    assert main(words) == 2
    assert "the checkpoint does not state the mean and sd of its movies' grey levels" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert main([*words, *GREY, "export.ask=false"]) == 0


def lying(**arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The index of a stack of one stimulus, with some arrays replaced."""
    names = {name: np.array(["a"]) for name in ("folder", "session", "channels")}
    stimuli = np.zeros((1, 1, 2, 3, 4), np.float32)
    return {"stimuli": stimuli, **names, "neurons": np.array(["1"]), "frame_rate_hz": np.array([30.0]), **arrays}


@pytest.mark.parametrize(
    "arrays",
    [
        lying(stimuli=np.zeros((1, 1, 2, 3, 4))),
        lying(stimuli=np.array([{}], object)),
        lying(folder=np.array(["a", "b"])),
        lying(channels=np.array([{}], object)),
        lying(stimuli=np.full((1, 1, 2, 3, 4), np.nan, np.float32)),
    ],
    ids=["float64", "pickled", "index", "pickled index", "nan"],
)
def test_a_stack_that_is_none_is_refused(
    arrays: dict[str, NDArray[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes them for its one flag
    levels = ("export.grey.mean=100", "export.grey.sd=10", "export.ask=false")
    words = ["export", str(tmp_path / "s.npz"), "format=npz", f"out={tmp_path / 'x'}", "device=cpu", *levels]
    assert main(words) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "s.npz" in line
    assert not (tmp_path / "x").exists()


def changed(run: Path, folder: Path, own: dict[str, Any] | None = None, **model: Any) -> Path:
    """A copy of a run, whose result states other values, or other settings of the model."""
    shutil.copytree(run, folder)
    tree = json.loads((run / "result.json").read_text()) | (own or {})
    tree["settings"]["model"] |= model
    (folder / "result.json").write_text(json.dumps(tree))
    return folder


MISTAKES = {
    "": "export needs a folder; expected DIR [DIR ...]",
    "nowhere format=npz out=x": "nowhere is no folder",
    "empty format=npz out=x": "there is no finished run in empty",
    "notes.txt format=npz out=x": "notes.txt is a file; expected a folder with finished runs, or a stimuli.npz",
    "bad.npz format=npz out=x": "bad.npz cannot be read",
    "RUN out=x": "export needs a format; expected one of avi, dmd, hdf5, mat, npz, png, qdspy. Try: format=qdspy",
    "RUN format=npz": "export needs a folder to write into. Try: out=FOLDER",
    "RUN format=qdspi out=x": "format=qdspi is no option; expected qdspy",
    "RUN fromat=npz out=x": "export has no setting fromat; expected format",
    "RUN format=npz out=x export.gray.mean=3": "export.gray is no setting; expected grey",
    "RUN format=npz out=x export.gamut=cut": "export.gamut=cut; expected one of refuse, clip, scale",
    "RUN format=npz out=x export.tolerance=5": "export.tolerance=5.0; expected a share from 0 to 1",
    "RUN format=npz out=x export.grey.sd=null": "export.grey.sd is missing beside export.grey.mean",
    "RUN format=npz out=x export.grey.mean=[300,1]": "export.grey.mean=300.0; expected grey levels from 0 to 255",
    "RUN format=npz out=x export.grey.mean=[1,2,3]": "export.grey.mean has 3 numbers; expected one, or one for each",
    "RUN format=npz out=x export.grey.mean=0 export.grey.sd=1": "export.grey.mean=0.0 and sd=1.0 are no grey levels",
    "RUN format=npz out=x export.grey.mean=null export.grey.sd=null": "the checkpoint does not state the mean and sd",
    "RUN format=avi out=x export.grey.colors=[G,G]": "export.grey.colors=G,G gives one colour to two channels",
    "RUN format=npz out=x export.grey.lut=notes.txt": "notes.txt is no look-up table",
    "RUN format=npz out=x export.geometry.um_per_pixel=80": "makes 0.625 device pixels of a stimulus pixel",
    "RUN format=npz out=x export.geometry.rotate=45": "export.geometry.rotate=45; expected one of 0, 90, 180, 270",
    "RUN format=npz out=x export.time.rate=75": "frames at 30 Hz cannot be shown at 75 Hz: each would have to stay for",
    "RUN format=npz out=x export.time.rate=60 export.time.model_rate=75": "frames at 75 Hz cannot be shown at 60 Hz",
    "RUN format=qdspy out=x format.refresh=90 export.time.rate=60": "export.time.rate=60.0; expected format.refresh",
    "RUN format=npz out=x export.protocol.repeats=3 export.protocol.blocks=2": "blocks=2; expected a divisor of",
    "RUN format=npz out=x export.protocol.controls=[white]": "export.protocol.controls=[white]; expected any of",
    "RUN format=npz out=x export.protocol.controls=[natural]": "export.protocol.movie is missing for the control",
    "RUN format=npz out=x export.protocol.positions=[[0,0],[1,1]]": "export.protocol.positions has 2 pairs; expected 1",
    "RUN format=npz out=x export.protocol.positions=cells": "was not made with model.center_readouts",
    "stack.npz format=npz out=x export.ask=true": "a row of a stack, which does not state its model, so that no twin",
    "stack.npz format=npz out=x export.grey.mean=null export.grey.sd=null": "Try: the folder of the run, or export.ask",
    "ended format=npz out=x": "ended is 'diverged'; expected a completed run",
    "weights format=npz out=x export.ask=true": "was made with other weights of simulated_retina than are there now",
    "window format=npz out=x export.ask=true": "its window [0, 99) is outside 20 response frames",
    "cells format=npz out=x export.ask=true": "is of neurons that simulated_retina has not",
    "RUN format=dmd out=x": "a dmd shows one channel, and the runs have green, uv. Try: format.channel=green",
    "RUN format=dmd out=x format.channel=blue": "format.channel=blue is no channel",
    "RUN format=npz out=full": "out=FOLDER/full holds mine.txt; expected an empty folder",
    "RUN format=hdf5 out=x format.compression=12": "format.compression=12; expected a level from 0 to 9",
    "RUN format=npz out=x device=gpu": "device=gpu; expected auto, cpu, cuda",
    "own format=npz out=x export.ask=true": "was made with a class of the user's (model._target_='os.system')",
    "web format=npz out=x export.ask=true": "names an address that the package does not (model.name='http://127.0.0.1/x')",
    "other format=npz out=x export.ask=true": "members=[7]",
}


@pytest.fixture(scope="module")
def mistaken(norm_5: Path, three: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    (folder / "notes.txt").write_text("1\n2\n")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    shutil.copytree(three / "neuron=0", folder / "RUN")
    changed(three / "neuron=0", folder / "own", _target_="os.system")
    changed(three / "neuron=0", folder / "web", name="http://127.0.0.1/x")
    changed(three / "neuron=0", folder / "other", members=[7])
    changed(three / "neuron=0", folder / "ended", {"status": "diverged"})
    changed(three / "neuron=0", folder / "weights", {"model": {"name": "simulated_retina", "sha256": "0" * 64}})
    changed(three / "neuron=0", folder / "window", {"window_response_frames": [0, 99]})
    changed(three / "neuron=0", folder / "cells", {"neurons": [999]})
    shutil.copy(norm_5 / "stimuli.npz", folder / "stack.npz")
    return folder


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    words: str, mistaken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mistaken)
    typed = words.split()
    keys = [word.partition("=")[0] for word in typed]
    given = [word for word in (*GREY, "export.ask=false", "device=cpu") if word.partition("=")[0] not in keys]
    assert main(["export", *typed, *(given if typed else [])]) in (1, 2)
    line = capsys.readouterr().err
    assert line.startswith("openretina: error: ")
    assert line.count("\n") == 1
    assert any(part in line.replace(str(mistaken), "FOLDER") for part in MISTAKES[words].split("|")), line
    assert not (mistaken / "x").exists()


@pytest.mark.parametrize(("package", "name", "extra"), [("scipy", "mat", "mat"), ("h5py", "hdf5", "hdf5")])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    package: str, name: str, extra: str, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for module in [found for found in sys.modules if found.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    assert export(str(three), f"format={name}", f"out={tmp_path / 'x'}") == 2
    assert f"Try: pip install 'openretina-cli[{extra}]'" in capsys.readouterr().err


def test_an_export_replaces_an_earlier_one_only_on_request_and_nothing_else(three: Path, tmp_path: Path) -> None:
    out = f"out={tmp_path / 'x'}"
    assert export(str(three), "format=png", out) == 0
    assert export(str(three), "format=npz", out) == 2
    assert (tmp_path / "x" / "neuron_0").is_dir()
    (tmp_path / "x" / "mine.txt").write_text("mine")
    assert export(str(three), "format=npz", out, "overwrite=true") == 2
    (tmp_path / "x" / "mine.txt").unlink()
    assert export(str(three), "format=npz", out, "overwrite=true", "export.preview=true") == 0
    names = {"stimuli.npz", "protocol.csv", "contact_sheet.png", "timeline.png", "export.json"}
    assert set(os.listdir(tmp_path / "x")) == names
    assert all(imread(tmp_path / "x" / name).std() > 0.05 for name in names if name.endswith(".png"))  # not blank
