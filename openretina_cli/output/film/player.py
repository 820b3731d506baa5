"""Play a stimulus inside a notebook, without a file and without IPython."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_cli.analysis.decomposition import stimulus_array
from openretina_cli.output.colors import default_channel_names
from openretina_cli.output.film.mp4 import encode_video
from openretina_cli.output.view import RunView

PLAYER_RATE = 20.0  # Hz; 50 ms a frame, the pace of the example notebook's player


@dataclass(frozen=True)
class StimulusPlayer:
    """A video that a notebook shows by itself when it is the last value of a cell.

    Attributes:
        mp4: the bytes of the video, to be written to a file as they are.
    """

    mp4: bytes

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.mp4).decode("ascii")
        # pixelated: browsers smooth a video that they enlarge, which would blur the stimulus' pixels
        return (
            '<video controls loop autoplay muted playsinline style="image-rendering: pixelated" '
            f'src="data:video/mp4;base64,{data}"></video>'
        )

    def __repr__(self) -> str:
        return f"StimulusPlayer({len(self.mp4)} bytes)"


def play_stimulus(
    video: Any,
    normalise: bool = True,
    *,
    frame_rate: float | None = None,
    channel_names: Sequence[str] | None = None,
    minimum_height: int = 288,
) -> StimulusPlayer:
    """A player for a stimulus, as in the example notebook.

    Args:
        video: `(channel, time, height, width)`, a torch tensor or numpy array.
        normalise: stretch the values of all channels together to the full range; otherwise they are taken to lie in
            [0, 1] and clipped to it.
        frame_rate: Hz; None plays at 20 Hz, the pace of the notebook's player, which is slower than the 30 Hz of the
            stimuli there.
        channel_names: colour channels; None takes grey, green and UV, or red, green and blue by their number.
        minimum_height: height in pixels that the picture is enlarged to at least.

    Raises:
        UserError: the stimulus does not have the four axes.
        ArtifactError: it holds values that are not finite.
    """
    stimulus = stimulus_array(video)
    view = RunView(
        stimulus=stimulus,
        channels=tuple(channel_names or default_channel_names(len(stimulus))),
        response=np.zeros((0, 0), dtype=np.float32),
        trace_names=(),
        lag=0,
        window=None,
        frame_rate=frame_rate or PLAYER_RATE,
        pixel_size=None,
        title="",
    )
    return StimulusPlayer(encode_video(view, scale="joint" if normalise else "unit", minimum_height=minimum_height))
