"""The stimulus as an MP4 that every browser plays, in true time and with the colours of the tensor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from openretina_cli.artifacts.colors import Scale, to_rgb
from openretina_cli.artifacts.decomposition import stimulus_array
from openretina_cli.artifacts.view import RunView
from openretina_cli.errors import ArtifactError

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

Frame = NDArray[np.uint8]

STILL_RATE = 25.0  # Hz, for stimuli without a frame rate
MAXIMUM_EDGE = 4096  # pixels; browsers decode no larger H.264 reliably
# 13 is far below the visible threshold (18); enlarged pixels compress so well that the files stay small.
# One thread: the same stimulus gives the same bytes. No B-frames: with them the container's duration falls short.
ENCODER = {"crf": "13", "preset": "medium", "threads": "1", "bf": "0"}
BT709, LIMITED_RANGE = 1, 1  # code points of ITU-T H.273

# The timeline below the picture: 4 pixels of air, a bar of 8, 4 pixels of air.
STRIP_HEIGHT, BAR = 16, slice(4, 12)
AIR, TRACK, WINDOW, CURSOR = (16, 16, 16), (72, 72, 72), (214, 158, 46), (255, 255, 255)


def write_video(view: RunView, path: Path, *, scale: Scale = "symmetric", minimum_height: int = 288) -> None:
    """Write the stimulus of a run as an MP4.

    Args:
        view: the run.
        path: the file to write; its folder must exist.
        scale: how values become brightness, see `colors.to_rgb`.
        minimum_height: height in pixels that the picture is enlarged to at least.

    Raises:
        ArtifactError: the video could not be encoded or the file could not be written; the path is named.
    """
    try:
        path.write_bytes(encode_video(view, scale=scale, minimum_height=minimum_height))
    except (ArtifactError, OSError) as error:
        raise ArtifactError(f"the video {path} could not be written: {error}") from error


def encode_video(view: RunView, *, scale: Scale = "symmetric", minimum_height: int = 288) -> bytes:
    """The bytes of the MP4: H.264, yuv420p, its index in front so that it plays while it loads.

    Every frame lasts one stimulus frame. Stimuli whose frame rate is not known play at 25 Hz, and a single frame is
    held for one second.

    Raises:
        ArtifactError: the stimulus is not finite, or the encoder refused it.
    """
    import av

    rate = view.frame_rate or STILL_RATE
    try:
        return _encode(video_frames(view, scale=scale, minimum_height=minimum_height), rate)
    except (av.FFmpegError, OSError, ValueError) as error:  # ValueError: a build of FFmpeg without H.264
        raise ArtifactError(f"the video encoder failed: {error}") from error


def video_frames(view: RunView, *, scale: Scale = "symmetric", minimum_height: int = 288) -> Iterator[Frame]:
    """The frames of the video, `(height, width, 3)` red-green-blue, with even height and width.

    Each stimulus pixel becomes a square of equal pixels. If a window was optimised, a timeline below the picture
    shows it as a coloured band with a cursor at the present frame; the picture itself carries no mark.
    """
    pictures = to_rgb(stimulus_array(view.stimulus), view.channels, scale)
    count, height, width, _ = pictures.shape
    factor = enlargement(height, width, minimum_height)
    for index, picture in enumerate(pictures):
        parts = [picture.repeat(factor, axis=0).repeat(factor, axis=1)]
        if view.stimulus_window is not None and count > 1:
            parts.append(timeline(width * factor, index, count, view.stimulus_window))
        frame = _pad_even(np.concatenate(parts))
        still = round(view.frame_rate or STILL_RATE) if count == 1 else 1
        yield from [frame] * max(still, 1)


def enlargement(height: int, width: int, minimum_height: int) -> int:
    """Whole factor that makes the picture at least `minimum_height` high, while no edge exceeds what players decode.

    An enlarged picture has an even factor: colour is stored for 2 by 2 pixels, which must not straddle two stimulus
    pixels, or their colours would bleed into each other.
    """
    factor = -(-minimum_height // height)
    if factor > 1:
        factor += factor % 2
    largest = MAXIMUM_EDGE // max(height, width)
    return max(min(factor, largest - largest % 2 if factor > 1 else largest), 1)


def timeline(width: int, index: int, count: int, window: tuple[int, int]) -> Frame:
    """The strip below frame `index` of `count`: `(STRIP_HEIGHT, width, 3)`, the window `[start, stop)` as a band."""
    strip = np.full((STRIP_HEIGHT, width, 3), AIR, dtype=np.uint8)
    strip[BAR] = TRACK
    start, stop = (round(min(max(frame, 0), count) * width / count) for frame in window)
    strip[BAR, start:stop] = WINDOW
    cursor = min(index * width // count, width - 2)  # stays visible in videos with more frames than columns
    strip[BAR, cursor : max((index + 1) * width // count, cursor + 2)] = CURSOR
    return strip


def _pad_even(frame: Frame) -> Frame:
    """Rows and columns of `AIR` at the bottom and right where the size is odd; nothing is cropped."""
    height, width, _ = frame.shape
    padded = np.full((height + height % 2, width + width % 2, 3), AIR, dtype=np.uint8)
    padded[:height, :width] = frame
    return padded


def to_yuv420(frame: Frame) -> Frame:
    """Red-green-blue to planar YUV 4:2:0 in the limited range of BT.709, `(3 * height / 2, width)`.

    Source: ITU-R BT.709-6, sections 3 and 4. Done here rather than by the scaler of FFmpeg, whose default matrix is
    that of standard television and whose chroma filter reaches beyond the 2 by 2 pixels that share a colour.
    """
    red, green, blue = np.moveaxis(frame.astype(np.float64) / 255.0, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    chroma = [(blue - luma) / 1.8556, (red - luma) / 1.5748]
    height, width = luma.shape
    quarters = [plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for plane in chroma]
    planes = [16.0 + 219.0 * luma] + [128.0 + 224.0 * plane for plane in quarters]
    values = np.rint(np.concatenate([plane.reshape(-1) for plane in planes]))
    layout: Frame = values.astype(np.uint8).reshape(-1, width)
    return layout


def _tag_colors(context: VideoCodecContext) -> None:
    """Say in the stream which colours its numbers mean, so that no player has to guess from the picture size."""
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def _encode(frames: Iterator[Frame], rate: float) -> bytes:
    """Frames to MP4 bytes, by way of a temporary file: moving the index to the front needs one that can be reread."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stimulus.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(10_000), options=ENCODER)
            stream.pix_fmt = "yuv420p"
            for index, frame in enumerate(frames):
                if index == 0:
                    stream.height, stream.width = frame.shape[:2]
                    _tag_colors(stream.codec_context)
                picture = av.VideoFrame.from_ndarray(to_yuv420(frame), format="yuv420p")
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path.read_bytes()
