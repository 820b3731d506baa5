"""Previews of an export: a contact sheet of its clips, and the timeline of its protocol."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from openretina_cli.format.base import Frames, Show

SHEET, TIMELINE = "contact_sheet.png", "timeline.png"
MOST_CLIPS = 48
"""Clips on the sheet: more would be smaller than a thumbnail."""
MOST_TRIALS = 400
"""Trials on the timeline: more would be thinner than a line."""
LARGEST_EDGE = 256
"""Pixels of a thumbnail along an edge."""


def write_previews(folder: Path, show: Show) -> None:
    """Write both pictures.

    Raises:
        OSError: the operating system refuses.
    """
    _sheet(folder / SHEET, show)
    _timeline(folder / TIMELINE, show)


def _thumbnail(show: Show, index: int) -> Frames:
    """The picture of a clip that is furthest from background, as red, green and blue."""
    pictures = show.pictures(index)
    step = -(-max(show.size) // LARGEST_EDGE)
    small = pictures[:, ::step, ::step]
    contrast = np.abs(small.astype(np.int16) - np.array(show.background, np.int16)).mean((1, 2, 3))
    frame = small[int(contrast.argmax())]
    if show.colors:
        return show.colored(frame)
    return np.repeat(frame.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)


def _sheet(path: Path, show: Show) -> None:
    from matplotlib.figure import Figure

    count = min(len(show.clips), MOST_CLIPS)
    columns = min(count, 8)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(1.4 * columns + 0.4, 1.65 * rows + 0.5))
    for index in range(count):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(_thumbnail(show, index), interpolation="nearest", vmin=0, vmax=255)
        axes.set_title(_plain(show.clips[index].name)[:22], fontsize=6)
        axes.set_axis_off()
    more = f", of {len(show.clips)}" if count < len(show.clips) else ""
    figure.suptitle(f"{count} clips{more}: the frame furthest from background", fontsize=8)
    figure.savefig(path, dpi=120, format="png")


def _timeline(path: Path, show: Show) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    axes = figure.add_subplot()
    start = 0
    kinds = [*dict.fromkeys(clip.kind for clip in show.clips)]
    for trial in show.trials[:MOST_TRIALS]:
        if trial.clip is not None:
            color = f"C{kinds.index(show.clips[trial.clip].kind)}"
            axes.barh(trial.clip, trial.length / show.rate, left=start / show.rate, height=0.9, color=color)
        start += trial.length
    total = sum(trial.length for trial in show.trials) / show.rate
    more = f"; the first {MOST_TRIALS} of {len(show.trials)} trials" if len(show.trials) > MOST_TRIALS else ""
    axes.set_title(f"{total:.1f} s at {show.rate:g} Hz{more}", fontsize=9)
    axes.set_xlim(0, max(start / show.rate, 1e-3))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("clip")
    axes.invert_yaxis()
    for kind in kinds:
        axes.plot([], [], color=f"C{kinds.index(kind)}", linewidth=6, label=kind)
    axes.legend(fontsize=7, loc="upper right")
    figure.savefig(path, dpi=120, format="png")


def _plain(name: str) -> str:
    """A name without what matplotlib takes for mathematics."""
    return name.replace("$", "")
