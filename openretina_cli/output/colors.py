"""How a channel looks: the colour of its lines, and the light that it adds to the video."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from openretina_cli.text import one_line

Scale = Literal["symmetric", "joint", "unit"]
Light = tuple[float, float, float]

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
VIOLET, WHITE = (1.0, 0.0, 1.0), (1.0, 1.0, 1.0)

# The mouse's UV light cannot be shown; as in the field's figures it is drawn as violet, red plus blue. Green and violet
# differ in lightness as well (L* of 47 and 27), for readers who see no such hues, and are legible as text on white.
KNOWN: dict[str, tuple[str, Light]] = {
    "green": ("#257f3d", GREEN),
    "uv": ("#5a2480", VIOLET),
    "ultraviolet": ("#5a2480", VIOLET),
    "violet": ("#5a2480", VIOLET),
    "red": ("#c43c39", RED),
    "blue": ("#2f6db5", BLUE),
    "grey": ("#404040", WHITE),
    "gray": ("#404040", WHITE),
}

LONGEST_CHANNEL = 22
"""Characters of a channel's name that fit beside its axes."""

# For channels that no one has named, and for several responses: told apart also by colour-blind readers
# (after Okabe and Ito, https://jfly.uni-koeln.de/color/), without colours that a known channel has.
PALETTE = ("#e69f00", "#56b4e9", "#7a5c3e", "#cc79a7", "#00a3a3", "#b8b000", "#1f3a6e", "#f28e6b")


DASHES: tuple[tuple[float, ...], ...] = ((), (4.0, 1.5), (1.0, 1.5), (6.0, 1.5, 1.0, 1.5))
"""Line and gap lengths of the first channels' lines, in widths of the line; the first is unbroken."""


@dataclass(frozen=True)
class ChannelLook:
    """Name of a channel and its look on paper and on screen.

    Attributes:
        name: what the channel is called in legends.
        line: colour of its lines and labels, as `#rrggbb`.
        light: how much it adds to red, green and blue of the video, each in [0, 1].
        dash: line and gap lengths of its lines, see `DASHES`.
    """

    name: str
    line: str
    light: Light
    dash: tuple[float, ...] = ()

    @property
    def drawn(self) -> dict[str, Any]:
        """Colour and style of its lines, as matplotlib takes them."""
        return {"color": self.line, "linestyle": (0, self.dash) if self.dash else "-"}


def default_channel_names(count: int) -> tuple[str, ...]:
    """Names for channels of which only the number is known; one to three follow the example notebook's convention."""
    named = {1: ("grey",), 2: ("green", "uv"), 3: ("red", "green", "blue")}
    return named.get(count, tuple(f"channel {index + 1}" for index in range(count)))


def channel_looks(names: Sequence[str]) -> tuple[ChannelLook, ...]:
    """A distinct look for each channel: by name where the name is known, else from a fixed palette.

    Up to three channels with a name that is not known are shown as pure lights in their order (grey; green, violet;
    red, green, blue), because these mix without loss. One channel is always grey.
    """
    lines = _line_colors(names)
    known = [KNOWN[name.lower()][1] if name.lower() in KNOWN else None for name in names]
    lights: list[Light]
    if len(names) == 1:
        lights = [WHITE]
    elif len(names) <= 3 and (None in known or len(set(known)) < len(known)):
        lights = [GREEN, VIOLET] if len(names) == 2 else [RED, GREEN, BLUE]
    else:
        lights = [light or _bright(line) for light, line in zip(known, lines, strict=True)]
    shown = [one_line(name, LONGEST_CHANNEL) for name in names]
    return tuple(
        ChannelLook(*look, DASHES[place % len(DASHES)])
        for place, look in enumerate(zip(shown, lines, lights, strict=True))
    )


def distinct_colors() -> Iterator[str]:
    """The palette, then as many further hues as are asked for."""
    yield from PALETTE
    for index in range(1_000):
        # steps by the golden ratio never repeat a hue
        red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.55, 0.75)
        yield f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _line_colors(names: Sequence[str]) -> list[str]:
    """The known colour of a name, or the next free one of the palette; a name that comes twice is known once."""
    free = distinct_colors()
    taken: list[str] = []
    for name in names:
        color = KNOWN.get(name.lower(), ("", WHITE))[0]
        taken.append(next(free) if color in ("", *taken) else color)
    return taken


def _bright(line: str) -> Light:
    """The light of a line colour: the same hue at full brightness."""
    red, green, blue = (int(line[start : start + 2], 16) for start in (1, 3, 5))
    brightest = max(red, green, blue)
    return red / brightest, green / brightest, blue / brightest


def light_matrix(names: Sequence[str]) -> NDArray[np.float64]:
    """`(channel, 3)`: what each channel adds to red, green and blue.

    Where several channels share a primary colour their weights are scaled to a sum of 1, so that no mixture saturates.
    """
    lights = np.array([look.light for look in channel_looks(names)], dtype=np.float64)
    shared: NDArray[np.float64] = lights / np.maximum(lights.sum(axis=0), 1.0)
    return shared


def to_rgb(stimulus: NDArray[np.float32], names: Sequence[str], scale: Scale = "symmetric") -> NDArray[np.uint8]:
    """The stimulus as colour frames.

    Args:
        stimulus: `(channel, time, height, width)`, finite.
        names: channel names.
        scale: "symmetric": one scale for all channels on which zero is mid-grey and the largest absolute value is 0 or
            255. "joint": the lowest value of all channels is 0, the highest 255, as in the example notebook; a constant
            stimulus is in between. "unit": values are taken to lie in [0, 1] already.

    Returns:
        `(time, height, width, 3)`, red, green and blue in 0 to 255.
    """
    values, lights = stimulus.astype(np.float64), light_matrix(names)
    if scale == "symmetric":
        largest = np.abs(values).max() or 1.0
        mixed = 0.5 + 0.5 * np.einsum("cthw,cp->thwp", values / largest, lights)
    else:
        if scale == "joint":
            low, high = values.min(), values.max()
            values = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
        mixed = np.einsum("cthw,cp->thwp", values, lights)
    frames: NDArray[np.uint8] = np.rint(255.0 * mixed.clip(0.0, 1.0)).astype(np.uint8)
    return frames
