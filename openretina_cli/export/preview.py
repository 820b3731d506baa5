"""Previews of an export: a contact sheet of its clips, and the timeline of its protocol."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.format.base import Show

Levels = NDArray[np.int16]
SHEET, TIMELINE = "contact_sheet.png", "timeline.png"
MOST_CLIPS = 48
"""Clips on the sheet: more would be smaller than a thumbnail."""
MOST_TRIALS = 400
"""Trials on the timeline: more would be thinner than a line."""
MOST_NAMES = 40
"""Names of clips beside the timeline."""
LARGEST_EDGE = 256
"""Pixels of a thumbnail along an edge."""


def write_previews(folder: Path, show: Show) -> None:
    """Write both pictures.

    Raises:
        OSError: the operating system refuses.
    """
    _sheet(folder / SHEET, show)
    _timeline(folder / TIMELINE, show)


def _thumbnail(show: Show, index: int) -> Levels:
    """The picture of a clip that is furthest from background, as differences of red, green and blue from it."""
    step = -(-max(show.size) // LARGEST_EDGE)
    gaps = show.pictures(index)[:, ::step, ::step].astype(np.int16) - np.array(show.background, np.int16)
    gap = gaps[int(np.abs(gaps).mean((1, 2, 3)).argmax())]
    if not show.colors:
        return np.repeat(gap.mean(-1, keepdims=True), 3, axis=-1).astype(np.int16)
    colors = [[letter in letters for letter in "RGB"] for letters in show.colors]
    found: Levels = gap @ np.array(colors, np.int16)
    return found


def _sheet(path: Path, show: Show) -> None:
    from matplotlib.figure import Figure

    count = min(len(show.clips), MOST_CLIPS)
    columns = min(count, 8)
    rows = math.ceil(count / columns)
    gaps = [_thumbnail(show, index) for index in range(count)]
    gain = 127 / max(1, *(int(np.abs(gap).max()) for gap in gaps))
    figure = Figure(figsize=(1.4 * columns + 0.4, 1.65 * rows + 0.5))
    for index, gap in enumerate(gaps):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(np.rint(128 + gain * gap).astype(np.uint8), interpolation="nearest")
        axes.set_title(_plain(show.clips[index].name)[:22], fontsize=6)
        axes.set_axis_off()
    more = f", of {len(show.clips)}" if count < len(show.clips) else ""
    title = f"{count} clips{more}: the frame furthest from background, grey here, {gain:.3g} times the contrast"
    figure.suptitle(title, fontsize=8)
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
    axes.set_ylim(len(show.clips) - 0.5, -0.5)
    if len(show.clips) <= MOST_NAMES:
        axes.set_yticks(range(len(show.clips)), [_plain(clip.name)[:22] for clip in show.clips], fontsize=7)
    for kind in kinds:
        axes.plot([], [], color=f"C{kinds.index(kind)}", linewidth=6, label=kind)
    axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")


def _plain(name: str) -> str:
    """A name without what matplotlib takes for mathematics."""
    return name.replace("$", "")
