"""What is shown when: trials of a presentation, and the table that says for every device frame what it is."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from openretina_cli.errors import SettingError
from openretina_cli.export.order import rounds_of
from openretina_cli.export.settings import ProtocolSettings, TimeSettings
from openretina_cli.format.base import Clip, Format, Show, Trial

FILE = "protocol.csv"
COLUMNS = (
    *("frame", "time_s", "block", "repeat", "trial", "condition", "clip", "run", "stimulus_frame"),
    *("file", "file_frame", "trigger", "x_um", "y_um"),
)
"""Columns of the table. Numbers count from 0; what does not apply to background is empty."""


def device_frames(seconds: float, rate: float) -> int:
    """The number of device frames that is nearest to a time."""
    return round(seconds * rate)


def rates_of(settings: TimeSettings, model_rate: float | None, refresh: float | None) -> tuple[float, int]:
    """The device's rate in Hz, and for how many device frames a frame of the stimulus stays.

    Raises:
        SettingError: a rate is not known, or the device's is no multiple of the stimulus'.
    """
    own = settings.model_rate or model_rate
    if own is None:
        raise SettingError("the runs do not state a frame rate", repair="export.time.model_rate=30")
    rate = settings.rate or refresh or own
    hold = round(rate / own)
    if hold < 1 or not math.isclose(hold * own, rate, rel_tol=1e-6):
        raise SettingError(
            f"frames at {own:g} Hz cannot be shown at {rate:g} Hz: each would have to stay for {rate / own:.4g} frames",
            expected=f"a multiple of {own:g} Hz",
            repair=f"export.time.rate={own * max(hold, 1):g}" + (" format.refresh=" + f"{own:g}" if refresh else ""),
        )
    return rate, hold


def trials_of(clips: Sequence[Clip], protocol: ProtocolSettings, time: TimeSettings, rate: float) -> list[Trial]:
    """The trials of a presentation, background among them.

    Raises:
        SettingError: there is no such order of so few stimuli.
    """
    rounds = rounds_of(protocol.order, len(clips), protocol.repeats, protocol.seed)
    adaptation, interval = device_frames(time.adaptation_s, rate), device_frames(time.interval_s, rate)
    trials: list[Trial] = []
    number = 0
    for repeat, places in enumerate(rounds):
        block, first = divmod(repeat, protocol.repeats // protocol.blocks)
        if first == 0 and adaptation:
            trials.append(Trial(None, adaptation, block, repeat))
        for place in places:
            trials.append(Trial(place, clips[place].length, block, repeat, number))
            number += 1
            if interval:
                trials.append(Trial(None, interval, block, repeat))
    return trials


def rows_of(show: Show, format_: Format) -> Iterator[tuple[object, ...]]:
    """The rows of the table, one for every device frame."""
    start = 0
    for trial in show.trials:
        for frame in range(trial.length):
            place = (start + frame, f"{(start + frame) / show.rate:.6f}", trial.block, trial.repeat)
            yield (*place, *_shown(show, format_, trial, frame))
        start += trial.length


def _shown(show: Show, format_: Format, trial: Trial, frame: int) -> tuple[object, ...]:
    if trial.clip is None:
        return "", "background", "", "", "", *format_.background_place(), 0, "", ""
    clip = show.clips[trial.clip]
    place = format_.place(show, trial.clip, frame)
    what = (trial.number, clip.kind, clip.name, clip.run, clip.stimulus_frame(frame))
    return *what, *place, int(frame < show.trigger), *clip.position


def write_protocol(path: Path, show: Show, format_: Format) -> None:
    """Write the table.

    Raises:
        OSError: the operating system refuses.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows_of(show, format_))
