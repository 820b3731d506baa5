"""The stimulus as an MP4 that every browser plays, in true time and with the colours of the tensor."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

from openretina_cli.errors import ArtifactError
from openretina_cli.output.colors import Scale
from openretina_cli.output.film.frames import STILL_RATE, Film, film_of
from openretina_cli.output.view import RunView

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

# A fixed quantiser keeps every square's colour within one level of luma and of chroma, in noise too. One thread: the
# same stimulus gives the same bytes. No B-frames: with them the container's duration falls short. Squares of one colour
# are coded as well by the quickest preset as by the slowest; of what it leaves out only arithmetic coding (cabac) is
# worth its time: it halves the file.
ENCODER = {"qp": "12", "preset": "ultrafast", "threads": "1", "bf": "0"}
# Every frame of a film is coded by itself: for squares of one colour that takes less time and fewer bytes than to say
# what changed, and a player can jump to any of them. A still is all repetition, so there only the first frame is.
FILM, STILL = {"x264-params": "cabac=1:keyint=1"}, {"x264-params": "cabac=1"}
BT709, LIMITED_RANGE = 1, 1  # code points of ITU-T H.273
# Bytes kept free at the front for the file's index, which is known last: its fixed part, and the part of each frame.
INDEX, INDEX_PER_FRAME = 4096, 24


def encode_video(view: RunView, *, scale: Scale = "symmetric", minimum_height: int = 288) -> bytes:
    """The bytes of the MP4: H.264, yuv420p, its index in front so that it plays while it loads.

    Every frame lasts one stimulus frame. Stimuli whose frame rate is not known play at 25 Hz, and a single frame is
    held for one second.

    Raises:
        ArtifactError: the stimulus is not finite, or the encoder refused it.
    """
    import av

    try:
        return _encode(film_of(view, scale=scale, minimum_height=minimum_height), view.frame_rate or STILL_RATE)
    except (av.FFmpegError, OSError, ValueError) as error:  # ValueError: a build of FFmpeg without H.264
        raise ArtifactError(f"the video encoder failed: {error}") from error


def _tag_colors(context: VideoCodecContext) -> None:
    """Say in the stream which colours its numbers mean, so that no player has to guess from the picture size."""
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def _encode(film: Film, rate: float) -> bytes:
    import av

    content = io.BytesIO()
    count = len(film.pictures) * film.repeats
    room = {"moov_size": str(INDEX + INDEX_PER_FRAME * count)}
    options = {**ENCODER, **(FILM if film.repeats == 1 else STILL)}
    with av.open(content, "w", format="mp4", options=room) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(10_000), options=options)
        stream.pix_fmt = "yuv420p"
        for index, planes in enumerate(film.yuv420()):
            if index == 0:
                stream.height, stream.width = len(planes) * 2 // 3, planes.shape[1]
                _tag_colors(stream.codec_context)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return content.getvalue()
