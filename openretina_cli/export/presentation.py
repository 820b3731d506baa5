"""From sources and settings to a presentation: clips with their levels, geometry, time and order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.export.control import Control, controls_of
from openretina_cli.export.geometry import Geometry, geometry_of
from openretina_cli.export.grey import Grey, Overflow, colors_of
from openretina_cli.export.protocol import device_frames, rates_of, trials_of
from openretina_cli.export.settings import ExportSettings
from openretina_cli.export.source import Source
from openretina_cli.format.base import Clip, Format, Frames, Show, safe_name

Stimulus = NDArray[np.float32]
Report = Callable[[str, int, int], None]
"""Called with a stage, what is done of it, and what there is."""
RESERVED = ("axes", "clips", "channels", "background", "rate_hz", "export", "protocol", "present", "stimulus")
"""Names that formats give to other things."""


@dataclass(frozen=True)
class Item:
    """What a clip shows.

    Attributes:
        source: the run.
        control: makes it of the run's stimulus.
        seed: of the control.
    """

    source: Source
    control: Control
    seed: int

    def stimulus(self) -> Stimulus:
        """The stimulus `(channel, time, height, width)` of the clip, as the model's values."""
        return self.control(self.source.stimulus(), self.seed)


@dataclass(frozen=True)
class Presentation:
    """Clips that can be written and read back.

    Attributes:
        show: what a format is given.
        items: what each clip shows.
        grey: values as levels.
        geometry: stimulus pixels as device pixels.
        overflow: of each clip what is beyond the display.
    """

    show: Show
    items: Sequence[Item]
    grey: Grey
    geometry: Geometry
    overflow: Sequence[Overflow]

    def pictures(self, index: int) -> Frames:
        """The frames `(time, height, width, channel)` of a clip, each once and without background."""
        stimulus = np.float32(self.overflow[index].factor) * self.items[index].stimulus()
        return self.geometry.apply(self.grey.pictures(stimulus), self.grey.background)

    def restore(self, index: int, film: Frames) -> Stimulus:
        """The stimulus `(channel, time, height, width)` that a film of a clip shows."""
        clip = self.show.clips[index]
        frames = film[clip.before : clip.before + clip.frames * clip.hold : clip.hold]
        return self.grey.values(self.geometry.undo(frames, self.grey.background))

    def check_film(self, index: int, film: Frames, channels: Sequence[int]) -> None:
        """Refuse a film that is not what was to be written.

        Raises:
            ArtifactError: a byte of it differs.
        """
        length = len(film) == self.show.clips[index].length
        expected = self.show.film(index)
        if not length or any(
            not np.array_equal(frame[..., channels], other[..., channels])
            for frame, other in zip(film, expected, strict=True)
        ):
            raise ArtifactError(f"the file of {self.show.clips[index].name} does not hold what was written into it")


def _names(sources: Sequence[Source], kinds: Sequence[str]) -> list[str]:
    """A name for each clip that no other has, also where letters' case does not count."""
    taken = {*RESERVED}
    names = []
    for source in sources:
        plain = safe_name(source.name)
        tries = (plain if number == 1 else f"{plain}-{number}" for number in range(1, 1_000_000))
        name = next(found for found in tries if found.casefold() not in taken)
        taken |= {name.casefold(), *(f"{name}_{kind}".casefold() for kind in kinds)}
        names += [name if kind == "stimulus" else f"{name}_{kind}" for kind in kinds]
    return names


def present(
    sources: Sequence[Source],
    settings: ExportSettings,
    format_: Format,
    grey: Grey,
    positions: Sequence[tuple[float, float]],
    report: Report,
) -> Presentation:
    """Plan a presentation, and look for what is beyond the display.

    Args:
        sources: the runs, of one kind of stimulus.
        settings: of the export.
        format_: the format.
        grey: values as levels.
        positions: of each run, x and y in um, before flip and rotation.
        report: called with progress.

    Raises:
        SettingError: a setting does not fit the runs or the format, or values are beyond the display and refused.
        ArtifactError: a stimulus cannot be read.
    """
    first, protocol = sources[0], settings.protocol
    geometry = geometry_of(settings.geometry, (first.shape[2], first.shape[3]), first.pixel_size, format_)
    rate, hold = rates_of(settings.time, first.frame_rate, format_.refresh)
    controls = controls_of(protocol.controls, protocol.movie)
    kinds = [(place, kind) for place in range(len(sources)) for kind in controls]
    before, after = (device_frames(seconds, rate) for seconds in (settings.time.before_s, settings.time.after_s))
    clips = []
    for name, (place, kind) in zip(_names(sources, [*controls]), kinds, strict=True):
        frames = sources[place].shape[1]
        rest = format_.film_length(before + frames * hold + after, rate) - before - frames * hold
        position = geometry.move(*positions[place])
        clips.append(Clip(name, kind, sources[place].name, frames, before, hold, rest, position))
    items = [Item(sources[place], controls[kind], protocol.seed + place) for place, kind in kinds]
    show = Show(
        clips=clips,
        trials=trials_of(clips, protocol, settings.time, rate),
        rate=rate,
        channels=first.channels,
        colors=colors_of(settings.grey, first.channels, format_.colored),
        background=grey.background,
        size=geometry.size,
        pixel_size=geometry.pixel_size,
        trigger=protocol.trigger_frames,
        pictures=_no_pictures,
    )
    format_.check(show)
    overflow = [*_read(show, items, grey, settings, hidden_channels(format_, show), report)]
    found = Presentation(show, items, grey, geometry, overflow)
    return replace(found, show=replace(show, pictures=found.pictures))


def _read(
    show: Show, items: Sequence[Item], grey: Grey, settings: ExportSettings, hidden: Sequence[int], report: Report
) -> Iterator[Overflow]:
    """What of each clip is beyond the display.

    Raises:
        SettingError: that is more than what is let pass, or a clip has contrast in hidden channels and none is to tell
            what that costs.
    """
    for number, (clip, item) in enumerate(zip(show.clips, items, strict=True), 1):
        stimulus = item.stimulus()
        if not settings.ask and stimulus[[*hidden]].any():
            names = ", ".join(show.channels[place] for place in hidden)
            raise SettingError(
                f"{clip.name} has contrast in {names}, of which the format shows nothing: only the twin can tell what "
                "that costs",
                repair="export.ask=true",
            )
        yield _overflow(clip, stimulus, grey, settings, show.channels)
        report("reading stimuli", number, len(items))


def hidden_channels(format_: Format, show: Show) -> list[int]:
    """The channels that a format does not show."""
    return sorted({*range(len(show.channels))} - {*format_.channels(show)})


def _no_pictures(index: int) -> Frames:
    raise AssertionError(index)  # a format that is asked to check has no pictures to look at


def _overflow(
    clip: Clip, stimulus: Stimulus, grey: Grey, settings: ExportSettings, channels: tuple[str, ...]
) -> Overflow:
    """What of a clip is beyond the display, once it is scaled where that is chosen.

    Raises:
        SettingError: that is more than what is let pass.
    """
    if settings.gamut == "scale":
        factor = grey.fitting(stimulus)
        return replace(grey.overflow(np.float32(factor) * stimulus), factor=factor)
    found = grey.overflow(stimulus)
    worst = int(np.argmax(found.shares))
    if settings.gamut == "refuse" and found.shares[worst] > settings.gamut_tolerance:
        reach = f"levels from {found.lowest[worst]:.4g} to {found.highest[worst]:.4g}"
        raise SettingError(
            f"{clip.name} has {found.shares[worst]:.2%} of channel {channels[worst]} beyond the display ({reach})",
            expected=f"at most {settings.gamut_tolerance:.2%} beyond 0 to 255 (export.gamut_tolerance)",
            repair="export.gamut=clip or export.gamut=scale, which tell what is lost",
        )
    return found
