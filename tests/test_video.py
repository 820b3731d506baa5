"""The video shows the tensor: its colours, its pixels, its time."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from chromium import watch

from openretina_cli.errors import ArtifactError
from openretina_cli.output.colors import PALETTE, channel_looks, to_rgb
from openretina_cli.output.film.frames import AIR, STRIP_HEIGHT, WINDOW, Film, Plane, film_of, to_yuv
from openretina_cli.output.film.mp4 import encode_video
from openretina_cli.output.film.player import play_stimulus
from openretina_cli.output.view import RunView

GREEN_UV = ("green", "uv")

# Steps of 8-bit grey by which a decoded colour may differ from the tensor's: rounding luma to one of 220 levels costs
# 0.6, rounding chroma to one of 225 levels costs up to 1.1 in blue, and the encoder may add one level to each
# (1.2 + 2.1). Wrong matrices are off by 20 and more, a neighbouring frame of noise by 100.
COLOR_TOLERANCE = 5


def noise(channels: int, frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(channels, frames, height, width)).astype(np.float32)


def view_of(
    stimulus: np.ndarray,
    channels: tuple[str, ...] = GREEN_UV,
    *,
    frame_rate: float | None = 30.0,
    window: tuple[int, int] | None = None,
    lag: int = 0,
) -> RunView:
    nothing = np.zeros((0, 0), dtype=np.float32)
    return RunView(stimulus, channels, nothing, (), lag, window, frame_rate, 50.0, "a test")


def rgb(film: Film) -> Iterator[np.ndarray]:
    """The frames of a film `(height, width, 3)`, enlarged in red-green-blue."""
    bars = [None] * 3 if film.bars is None else np.moveaxis(film.bars, -1, 0)
    planes = [Plane(film.pictures[..., index], film.factor, bars[index], air) for index, air in enumerate(AIR)]
    for _ in range(film.repeats):
        yield from (np.stack(parts, axis=-1) for parts in zip(*(plane.frames() for plane in planes), strict=True))


def decode(mp4: bytes) -> tuple[av.VideoStream, np.ndarray]:
    """The stream's header and its frames in YUV, `(frame, 3 * height / 2, width)`."""
    with av.open(io.BytesIO(mp4)) as container:
        return container.streams.video[0], np.stack([f.to_ndarray() for f in container.decode(video=0)])


def to_rgb_by_bt709(yuv: np.ndarray) -> np.ndarray:
    """Decoded YUV 4:2:0 to red-green-blue, written down from BT.709 independently of the encoder's side."""
    height, width = yuv.shape[1] * 2 // 3, yuv.shape[2]
    luma = (yuv[:, :height] - 16.0) / 219.0
    planes = (yuv[:, height:].reshape(len(yuv), 2, height // 2, width // 2) - 128.0) / 224.0
    blue, red = planes.repeat(2, axis=2).repeat(2, axis=3).swapaxes(0, 1)
    red_light, blue_light = luma + 1.5748 * red, luma + 1.8556 * blue
    green_light = (luma - 0.2126 * red_light - 0.0722 * blue_light) / 0.7152
    return 255.0 * np.stack([red_light, green_light, blue_light], axis=-1)


# --- colours ---------------------------------------------------------------------------------------------------------


def test_green_is_green_uv_is_violet_and_zero_is_mid_grey() -> None:
    stimulus = np.zeros((2, 4, 1, 1), dtype=np.float32)
    stimulus[0, 1], stimulus[1, 2], stimulus[:, 3] = 2.0, 2.0, -2.0
    frames = to_rgb(stimulus, GREEN_UV)[:, 0, 0]
    np.testing.assert_array_equal(frames, [[128, 128, 128], [128, 255, 128], [255, 128, 255], [0, 0, 0]])


def test_the_joint_scale_stretches_both_channels_together() -> None:
    stimulus = np.array([-1.0, 0.0, 3.0, 1.0], dtype=np.float32).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(to_rgb(stimulus, GREEN_UV, "joint")[:, 0, 0], [[255, 0, 255], [128, 64, 128]])


def test_channels_are_told_by_name_not_by_order() -> None:
    stimulus = noise(2, 3, 4, 5)
    np.testing.assert_array_equal(to_rgb(stimulus, GREEN_UV), to_rgb(stimulus[::-1], ("uv", "green")))
    rgb = to_rgb(np.eye(3, dtype=np.float32)[:, :, None, None], ("blue", "red", "green"), "unit")[:, 0, 0]
    np.testing.assert_array_equal(rgb, 255 * np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]))


def test_three_unknown_channels_are_red_green_blue_in_order_and_one_is_grey() -> None:
    rgb = to_rgb(np.eye(3, dtype=np.float32)[:, :, None, None], ("s", "m", "l"), "unit")[:, 0, 0]
    np.testing.assert_array_equal(rgb, 255 * np.eye(3))
    assert np.ptp(to_rgb(noise(1, 3, 4, 5), ("uv",)), axis=-1).max() == 0


@pytest.mark.parametrize("scale", ["symmetric", "joint"])
@pytest.mark.parametrize("names", [("grey",), GREEN_UV, ("red", "green", "blue"), ("uv", "a", "b", "c", "d")])
def test_a_constant_zero_stimulus_is_one_grey(names: tuple[str, ...], scale: str) -> None:
    frames = to_rgb(np.zeros((len(names), 2, 3, 3), dtype=np.float32), names, scale)
    np.testing.assert_array_equal(frames, 128)


def test_every_channel_has_a_line_colour_of_its_own_even_when_named_twice() -> None:
    names = ("green", "uv", "green", *(f"channel {index}" for index in range(len(PALETTE) + 5)))
    lines = [look.line for look in channel_looks(names)]
    assert len(set(lines)) == len(names)
    assert all(re.fullmatch("#[0-9a-f]{6}", line) for line in lines)


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(18, 16, (288, 256)), (17, 15, (306, 270)), (72, 64, (288, 256)), (301, 203, (302, 204))],
)
def test_each_stimulus_pixel_becomes_a_square_and_nothing_is_cropped(
    height: int, width: int, size: tuple[int, int]
) -> None:
    stimulus = noise(2, 2, height, width)
    frame = next(rgb(film_of(view_of(stimulus))))
    assert frame.shape == (*size, 3)
    factor = size[0] // height
    picture = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    expected = to_rgb(stimulus, GREEN_UV)[0][:, None, :, None]
    np.testing.assert_array_equal(picture, np.broadcast_to(expected, picture.shape))
    assert (frame[height * factor :] == AIR).all()
    assert (frame[:, width * factor :] == AIR).all()


def test_a_picture_too_wide_for_players_is_enlarged_less() -> None:
    frame = next(rgb(film_of(view_of(noise(2, 1, 2, 300)))))
    assert frame.shape == (24, 3600, 3)


def test_the_window_is_marked_below_the_picture_and_only_there() -> None:
    stimulus = noise(2, 50, 18, 16)
    plain = np.stack(list(rgb(film_of(view_of(stimulus)))))
    marked = np.stack(list(rgb(film_of(view_of(stimulus, window=(10, 20), lag=30)))))
    assert marked.shape[1] == plain.shape[1] + STRIP_HEIGHT
    np.testing.assert_array_equal(marked[:, : plain.shape[1]], plain)
    bar = marked[0, plain.shape[1] + STRIP_HEIGHT // 2]
    columns = np.flatnonzero((bar == WINDOW).all(axis=-1))
    assert (columns[0], columns[-1] + 1) == (round(256 * 40 / 50), round(256 * 50 / 50))


@pytest.mark.parametrize("frames", [2, 50, 1000])  # the last has more frames than the strip has columns
def test_the_cursor_is_always_there_and_only_moves_forward(frames: int) -> None:
    marked = rgb(film_of(view_of(np.zeros((1, frames, 4, 4), dtype=np.float32), ("grey",), window=(0, 1))))
    cursors = [np.flatnonzero((frame[-STRIP_HEIGHT // 2] == 255).all(axis=-1)) for frame in marked]
    assert min(map(len, cursors)) >= 2
    assert (np.diff([cursor[0] for cursor in cursors]) >= 0).all()
    assert cursors[0][0] == 0
    assert cursors[-1][-1] == 287


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("grey",), GREEN_UV, ("red", "green", "blue"), ("uv", "a", "b", "c", "d")])
def test_decoded_colours_are_those_of_the_tensor(names: tuple[str, ...]) -> None:
    stimulus = noise(len(names), 12, 18, 16)
    _, yuv = decode(encode_video(view_of(stimulus, names)))
    middles = to_rgb_by_bt709(yuv)[:, 8::16, 8::16]
    assert np.abs(middles - to_rgb(stimulus, names)).max() <= COLOR_TOLERANCE


def test_a_zero_stimulus_is_a_grey_video() -> None:
    _, yuv = decode(encode_video(view_of(np.zeros((2, 5, 18, 16), dtype=np.float32))))
    np.testing.assert_array_equal(yuv[:, :288], round(16 + 219 * 128 / 255))  # one flat grey is coded exactly
    np.testing.assert_array_equal(yuv[:, 288:], 128)


def test_the_yuv_matrix_is_that_of_bt709() -> None:
    """White, black and the primaries at their limited-range code points (ITU-R BT.709-6, rounded)."""
    colors = {(255, 255, 255): (235, 128, 128), (0, 0, 0): (16, 128, 128), (255, 0, 0): (63, 102, 240)}
    colors |= {(0, 255, 0): (173, 42, 26), (0, 0, 255): (32, 240, 118)}
    for rgb, expected in colors.items():
        assert tuple(round(float(to_yuv(np.array(rgb, dtype=np.uint8), index))) for index in range(3)) == expected


def yuv420_of_an_enlarged_frame(frame: np.ndarray) -> np.ndarray:
    """What the encoder is given, made the slow way: from every pixel of the enlarged frame."""
    height, width, _ = frame.shape
    luma, *chroma = (to_yuv(frame, index) for index in range(3))
    quarters = [plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for plane in chroma]
    flat = np.concatenate([plane.reshape(-1) for plane in (luma, *quarters)])
    return np.rint(flat).astype(np.uint8).reshape(-1, width)


@pytest.mark.parametrize("size", [(18, 16), (17, 15), (301, 203)], ids=str)
@pytest.mark.parametrize("window", [None, (1, 3)])
def test_converting_before_enlarging_gives_what_converting_every_pixel_gives(
    size: tuple[int, int], window: tuple[int, int] | None
) -> None:
    film: Film = film_of(view_of(noise(2, 5, *size), window=window))
    for frame, planes in zip(rgb(film), film.yuv420(), strict=True):
        np.testing.assert_array_equal(planes, yuv420_of_an_enlarged_frame(frame))


@pytest.mark.parametrize("rate", [30.0, 15.0, 60.0, 29.97, 31.25])
def test_one_video_frame_lasts_one_stimulus_frame(rate: float) -> None:
    swell = np.sin(np.arange(20) / 5)[:, None, None] * noise(1, 1, 18, 16)  # slow, so that an encoder would skip ahead
    stream, yuv = decode(encode_video(view_of(swell.astype(np.float32), ("grey",), frame_rate=rate)))
    exact = Fraction(rate).limit_denominator(10_000)
    assert len(yuv) == 20
    assert stream.average_rate == exact
    # the container counts in ticks of its time base; the end may fall between two of them
    assert abs(stream.duration * stream.time_base - 20 / exact) <= stream.time_base


@pytest.mark.parametrize("rate", [None, 25.0])
def test_a_static_image_is_shown_for_one_second(rate: float | None) -> None:
    stream, yuv = decode(encode_video(view_of(noise(2, 1, 36, 64), frame_rate=rate, window=(0, 1))))
    assert stream.duration * stream.time_base == 1
    assert np.ptp(yuv.astype(int), axis=0).max() <= 2  # the still may settle by an encoder's level, no more


def test_the_stream_is_one_that_browsers_play_and_says_what_its_colours_mean() -> None:
    mp4 = encode_video(view_of(noise(2, 5, 17, 15)))
    stream, _ = decode(mp4)
    context = stream.codec_context
    assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    assert not context.has_b_frames  # with them some containers state a duration that is a few ticks short
    assert (context.width % 2, context.height % 2) == (0, 0)
    assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
    assert 0 < mp4.index(b"moov") < mp4.index(b"mdat")  # the index comes first: it plays while it loads


def test_the_same_stimulus_gives_the_same_bytes() -> None:
    view = view_of(noise(2, 20, 18, 16), window=(10, 20))
    assert encode_video(view) == encode_video(view)


def test_a_film_takes_about_the_room_of_its_tensor_and_every_frame_can_be_jumped_to() -> None:
    stimulus = noise(2, 50, 18, 16)  # the worst case
    mp4 = encode_video(view_of(stimulus))
    assert len(mp4) < 1.5 * stimulus.nbytes
    with av.open(io.BytesIO(mp4)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)


def test_a_stimulus_that_is_not_finite_is_not_encoded() -> None:
    with pytest.raises(ArtifactError, match="not finite"):
        encode_video(view_of(np.full((2, 2, 4, 4), np.nan, dtype=np.float32)))


def test_an_encoder_that_refuses_is_an_artifact_error() -> None:
    """H.264 has no frame rate of zero or below."""
    with pytest.raises(ArtifactError, match="encoder"):
        encode_video(view_of(noise(1, 2, 4, 4), ("grey",), frame_rate=-1.0))


def test_chromium_plays_the_video_with_the_colours_of_the_tensor(tmp_path: Path) -> None:
    stimulus = noise(2, 50, 18, 16)
    mp4 = encode_video(view_of(stimulus, window=(10, 20), lag=30))
    cells = [(row, column) for row in range(0, 18, 2) for column in range(0, 16, 2)]
    seen = watch(mp4, 25.5 / 30, [(16 * column + 8, 16 * row + 8) for row, column in cells], tmp_path)
    assert seen["duration"] == pytest.approx(50 / 30, abs=1e-5)  # reported in microseconds
    assert (seen["width"], seen["height"]) == (256, 288 + STRIP_HEIGHT)
    frames = to_rgb(stimulus, GREEN_UV).astype(int)
    errors = [np.abs([frame[cell] for cell in cells] - np.array(seen["pixels"])).max() for frame in frames]
    # the browser converts with 6-bit fixed-point factors, which may cost another 3 levels
    assert errors[25] <= COLOR_TOLERANCE + 3
    assert sorted(errors)[1] > 50  # every other frame of the noise is far off, so this one is the frame asked for


# --- the notebook's player -------------------------------------------------------------------------------------------


def test_the_player_is_a_looping_video_that_holds_its_own_data() -> None:
    torch = pytest.importorskip("torch")
    stimulus = noise(2, 10, 18, 16)
    player = play_stimulus(torch.from_numpy(stimulus))
    shown = player._repr_html_()
    assert shown.startswith("<video controls loop autoplay muted")
    assert "data:video/mp4;base64," in shown
    stream, yuv = decode(player.mp4)
    assert stream.average_rate == 20
    error = to_rgb_by_bt709(yuv)[:, 8::16, 8::16] - to_rgb(stimulus, GREEN_UV, "joint")
    assert np.abs(error).max() <= COLOR_TOLERANCE


def test_the_player_takes_values_as_they_are_when_told_not_to_normalise() -> None:
    player = play_stimulus(np.full((1, 3, 4, 4), 0.25), normalise=False, frame_rate=30.0)
    stream, yuv = decode(player.mp4)
    assert stream.average_rate == 30
    assert np.abs(to_rgb_by_bt709(yuv) - 0.25 * 255).max() <= 1.5  # grey: only luma's levels of 1.16, and one rounding


def test_importing_the_pictures_is_cheap() -> None:
    """The command line imports these modules to print its help; the heavy libraries wait until something is drawn."""
    modules = ["chosen", "composition.composer", "drawing.renderer", "figure", "film.mp4", "film.player", "video"]
    code = "import sys; " + "".join(f"import openretina_cli.output.{name}; " for name in modules)
    code += "print(sorted({'matplotlib', 'av', 'torch', 'scipy'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
