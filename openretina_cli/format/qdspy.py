"""`format=qdspy`: videos and the script that QDSpy presents them with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np

from openretina_cli.checks import positive, require
from openretina_cli.errors import SettingError
from openretina_cli.format.base import Frames, Show, Trial
from openretina_cli.format.coding.film import Films

SCRIPT = "present.py"
ORDER = "order.yaml"

HEAD = '''\
"""Presents the videos of this folder with QDSpy; written by `openretina export`. See protocol.csv."""

import QDS

FRAME_S = 1.0 / {rate!r}
SCALE = ({scale!r}, {scale!r})  # um per pixel of the videos
ALPHA, ANGLE = 255, 0
VIDEOS = {videos}
# Of every trial: video (None for background), x and y in um, frames, frames of the marker at its start.
TRIALS = {trials}

QDS.Initialize({title!r}, "optimised stimuli")
QDS.SetBkgColor({background!r})
for number, name in enumerate(VIDEOS, 1):
    QDS.DefObj_Video(number, name)
QDS.LogUserParameters({{"videos": VIDEOS, "order": [trial[0] for trial in TRIALS if trial[0] is not None]}})

QDS.StartScript()
QDS.Scene_Clear(1.0, 0)
for video, x, y, frames, marked in TRIALS:
    if video is not None:
        QDS.Start_Video(video + 1, (x, y), SCALE, ALPHA, ANGLE)
    if marked:
        QDS.Scene_Clear(marked * FRAME_S, 1)
    if frames > marked:
        QDS.Scene_Clear((frames - marked) * FRAME_S, 0)
QDS.Scene_Clear(1.0, 0)
QDS.EndScript()
'''
"""Verbs of QDSpy 0.9.6 (eulerlab/QDSpy, QDS.py). A video plays while `Scene_Clear` waits, one frame per refresh."""


class Qdspy(Films):
    """`NAME.avi` (FFV1) for each clip, `present.py` for QDSpy, and `order.yaml` with order and positions.

    The last frame of every film is background, because QDSpy keeps it for one refresh more.

    Args:
        refresh: frames per second of the display (Hz): QDSpy shows one video frame per refresh, whatever the file says.
        square: whether frames are padded to squares with background. QDSpy 0.9.6 takes no others: it allocates
            `(frame, width, height)` and fills it with `(height, width)`. Edges are even in any case, because it halves
            them in whole pixels to find the centre.
        upright: whether rows are written from the bottom up, so that they are shown from the top down: QDSpy 0.9.6
            hands them to OpenGL in their order, which begins at the bottom (pyglet's `ImageData`, positive pitch).
        scale: um per video pixel; None takes the pixel size of the export.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        refresh: float = 60.0,
        square: bool = True,
        upright: bool = True,
        scale: Annotated[float | None, "12.5"] = None,
    ) -> None:
        positive("refresh", refresh)
        positive("scale", scale)
        self.refresh, self.square, self.upright, self.scale = refresh, square, upright, scale

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """A square, unless that is switched off; edges are even."""
        height, width = (max(height, width),) * 2 if self.square else (height, width)
        return height + height % 2, width + width % 2

    def film_length(self, length: int, rate: float) -> int:
        """At least one frame more, and as many as QDSpy reads.

        It reads `int(duration * rate)` frames, where moviepy takes the duration from what FFmpeg prints: rounded to
        0.01 s, so that of 200 frames at 60 Hz (3.33 s) the last would be lost.
        """
        return next(frames for frames in count(length + 1) if int(_printed(frames, rate) * rate) == frames)

    def laid(self, frames: Frames) -> Frames:
        """Rows from the bottom up, or from the top down."""
        return frames[..., ::-1, :, :] if self.upright else frames

    def check(self, show: Show) -> None:
        """Refuse videos whose size on the retina, or rate, QDSpy would have to guess.

        Raises:
            SettingError: the pixel size is not known, or the rate is another.
        """
        if self.scale is None and show.pixel_size is None:
            raise SettingError("the runs do not say how large a pixel is", repair="format.scale=UM")
        require(show.rate == self.refresh, "export.time.rate", show.rate, f"format.refresh, which is {self.refresh:g}")

    def write(self, folder: Path, show: Show) -> None:
        """Write videos, script and order."""
        super().write(folder, show)
        (folder / SCRIPT).write_text(self._script(show), encoding="utf-8")
        (folder / ORDER).write_text("".join(_order(show)), encoding="utf-8")

    def _script(self, show: Show) -> str:
        background = show.colored(np.array(show.background, np.uint8)).tolist()
        return HEAD.format(
            rate=show.rate,
            scale=self.scale or show.pixel_size,
            videos=_listed([f"{clip.name}.avi" for clip in show.clips]),
            trials=_listed([_trial(show, trial) for trial in show.trials]),
            title=show.clips[0].name,
            background=tuple(background),
        )


def _printed(frames: int, rate: float) -> float:
    """Seconds of a film as FFmpeg prints and moviepy reads them: hundredths, apart from whole minutes."""
    minutes, hundredths = divmod(int(100 * frames / rate + 0.5), 6000)
    return 60 * minutes + hundredths / 100


def _trial(show: Show, trial: Trial) -> tuple[int | None, float, float, int, int]:
    """A row of the script's table."""
    if trial.clip is None:
        return None, 0.0, 0.0, trial.length, 0
    return trial.clip, *show.clips[trial.clip].position, trial.length, min(show.trigger, trial.length)


def _listed(items: Sequence[object]) -> str:
    """A list as Python writes it, an item a line."""
    return "[\n" + "".join(f"    {item!r},\n" for item in items) + "]"


def _order(show: Show) -> Iterator[str]:
    """The YAML of order and positions, a line at a time; JSON of a text or list is YAML."""
    yield f"rate_hz: {show.rate!r}\nclips:\n"
    for clip in show.clips:
        yield f"  - {{file: {json.dumps(clip.name + '.avi')}, run: {json.dumps(clip.run)}, kind: {clip.kind}, "
        yield f"position_um: {json.dumps(list(clip.position))}}}\n"
    yield "order:  # places in the list of clips, from 0\n"
    for trial in show.trials:
        if trial.clip is not None:
            yield f"  - {{clip: {trial.clip}, block: {trial.block}, repeat: {trial.repeat}}}\n"
