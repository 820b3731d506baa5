"""Movies for the simulated retina: moving natural-like scenes in two colours, chromatic noise, flashes and bars."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

CHANNELS = ("green", "UV")
HEIGHT, WIDTH = 18, 16
PIXEL_SIZE = 50.0
"""Edge of a pixel on the retina, um (Höfling et al. 2024, eLife 13:e86860: 18 x 16 pixels)."""
FRAME_RATE = 30.0
"""Hz, as in the published recordings (Höfling et al. 2024)."""
CLIP_FRAMES = 150
"""Five seconds, the length of the published training clips (Höfling et al. 2024)."""

MEAN_8BIT = np.array([24.1, 32.4])
STD_8BIT = np.array([36.8, 35.5])
"""Mean and standard deviation of green and UV intensities (0 to 255). They are inferred: black and white, z-scored with
them, are the published stimulus limits [-0.654, 6.269] and [-0.913, 6.269]."""

SCENE = 64
"""Edge of a scene in pixels; it is periodic, and a clip sees a part of it."""


def zscore(intensity: Array) -> Array:
    """Turn 8-bit intensities `(2, time, height, width)` into units of the movies' standard deviation, within range."""
    mean, std = (table.reshape(2, 1, 1, 1) for table in (MEAN_8BIT, STD_8BIT))
    return np.asarray((np.clip(intensity, 0, 255) - mean) / std)


def stimulus_range() -> tuple[tuple[float, float], ...]:
    """Lowest and highest z-scored value of green and of UV: black and white."""
    lows, highs = -MEAN_8BIT / STD_8BIT, (255 - MEAN_8BIT) / STD_8BIT
    return tuple((float(low), float(high)) for low, high in zip(lows, highs, strict=True))


def gaze(rng: np.random.Generator, frames: int) -> Array:
    """A path `(frames, 2)` in pixels: smooth drift (an Ornstein-Uhlenbeck velocity) with saccade-like jumps."""
    memory, speed = 0.9, rng.uniform(0.02, 0.35)
    velocity = np.zeros((frames, 2))
    velocity[0] = speed * rng.standard_normal(2)
    for t in range(1, frames):
        velocity[t] = memory * velocity[t - 1] + math.sqrt(1 - memory**2) * speed * rng.standard_normal(2)
    jumps = (rng.random(frames) < 1 / 45)[:, None] * rng.normal(0, 6, (frames, 2))
    start = rng.uniform(0, SCENE, 2)
    return np.asarray(start + np.cumsum(velocity + jumps, axis=0))


def spectrum(rng: np.random.Generator, exponent: float) -> NDArray[np.complex128]:
    """Fourier coefficients of a Gaussian random scene whose amplitude falls as 1 / frequency^exponent."""
    rows, columns = np.fft.fftfreq(SCENE)[:, None], np.fft.fftfreq(SCENE)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    coefficients: NDArray[np.complex128] = np.fft.fft2(rng.standard_normal((SCENE, SCENE))) / frequency**exponent
    return np.asarray(coefficients / np.fft.ifft2(coefficients).real.std())


def view(scene: NDArray[np.complex128], path: Array) -> Array:
    """The part `(frames, height, width)` of a scene seen along a path, shifted exactly in the Fourier domain."""
    shifts = np.exp(2j * math.pi * path[:, :, None] * np.fft.fftfreq(SCENE))
    moved = np.fft.ifft2(scene * shifts[:, 0, :, None] * shifts[:, 1, None, :])
    return moved.real[:, :HEIGHT, :WIDTH]


def natural_clip(rng: np.random.Generator, frames: int) -> Array:
    """A natural-like clip `(2, frames, height, width)`, z-scored.

    Log luminance is a Gaussian random field with the 1/f amplitude of natural scenes (Field 1987, J Opt Soc Am A
    4:2379, doi:10.1364/JOSAA.4.002379), partly shared by the colours, whose correlation varies between scenes (Qiu et
    al. 2021, Curr Biol, doi:10.1016/j.cub.2021.05.017, filmed mouse scenes). The exponential of it is skewed: many dark
    pixels, few bright ones.
    """
    exponent, correlation = rng.uniform(0.9, 1.4), rng.uniform(0.6, 0.97)
    shared, *own = (spectrum(rng, exponent) for _ in range(3))
    path = gaze(rng, frames)
    mixed = [math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * scene for scene in own]
    field = np.stack([view(scene, path) for scene in mixed])
    # a log-normal variable of this log-deviation has the ratio STD_8BIT / MEAN_8BIT of standard deviation to mean
    deviation = np.sqrt(np.log1p((STD_8BIT / MEAN_8BIT) ** 2)).reshape(2, 1, 1, 1) * rng.uniform(0.7, 1.1)
    return zscore(MEAN_8BIT.reshape(2, 1, 1, 1) * np.exp(deviation * field - deviation**2 / 2))


def _blur(size: int, sigma: float) -> Array:
    """A matrix `(size, size)` that blurs along one axis and keeps the variance of white noise."""
    offsets = np.arange(size)[:, None] - np.arange(size)[None]
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.asarray(kernel / np.sqrt((kernel**2).sum(1, keepdims=True)))


def noise_clip(rng: np.random.Generator, frames: int) -> Array:
    """Smooth chromatic noise on a grey ground; from clip to clip the colours go together, apart, or against."""
    noise = rng.standard_normal((2, frames, HEIGHT, WIDTH))
    blurs = _blur(HEIGHT, rng.uniform(0.3, 2.0)), _blur(WIDTH, rng.uniform(0.3, 2.0))
    noise = blurs[0] @ noise @ blurs[1].T
    noise = np.einsum("st,cthw->cshw", _blur(frames, rng.uniform(0.3, 4.0)), noise)
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    mixing = np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    low, high = np.array(stimulus_range()).T.reshape(2, 2, 1, 1, 1)
    return np.asarray(np.clip(rng.uniform(0.3, 1.5) * np.einsum("dc,cthw->dthw", mixing, noise), low, high))


def _levels(rng: np.random.Generator) -> Array:
    """Intensities of the two colours, z-scored: equal for half of the calls, independent for the others."""
    low = np.array([limits[0] for limits in stimulus_range()])
    level = rng.uniform(low, 2.5)
    return np.asarray(np.maximum(low, level[0]) if rng.random() < 0.5 else level)


Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]
"""Draws a ground colour `(2,)` and a figure `(time, height, width)` that is 1 where it hides the ground and else 0."""


def _episodes(rng: np.random.Generator, frames: int, shortest: int, longest: int, draw: Draw) -> Array:
    """Fill a clip with episodes of random length, each a figure of a random colour on a ground of another."""
    clip = np.zeros((2, frames, HEIGHT, WIDTH))
    t = 0
    while t < frames:
        length = int(rng.integers(shortest, longest))
        ground, figure = draw(rng, min(length, frames - t))
        colour = _levels(rng) - ground
        clip[:, t : t + length] = ground[:, None, None, None] + colour[:, None, None, None] * figure
        t += length
    return clip


def _pixels() -> tuple[Array, Array]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    return rows, columns


def _flash(rng: np.random.Generator, frames: int) -> tuple[Array, Array]:
    rows, columns = _pixels()
    y, x, radius = rng.uniform(4, HEIGHT - 5), rng.uniform(4, WIDTH - 5), rng.choice([1.5, 3.0, 6.0, 30.0])
    spot = (np.hypot(rows - y, columns - x) < radius).astype(np.float64)
    on = (np.arange(frames) >= frames // 2).astype(np.float64)
    return 0.3 * _levels(rng), on[:, None, None] * spot


def _bar(rng: np.random.Generator, frames: int) -> tuple[Array, Array]:
    rows, columns = _pixels()
    direction, width = rng.choice(8) * math.pi / 4 + rng.normal(0, 0.1), rng.uniform(1.5, 5.0)
    along = (columns - (WIDTH - 1) / 2) * math.cos(direction) + (rows - (HEIGHT - 1) / 2) * math.sin(direction)
    position = rng.uniform(0.25, 0.9) * (np.arange(frames) - frames / 2)
    # a soft edge moves smoothly between pixels
    edge = (width / 2 - np.abs(along - position[:, None, None])) / 0.5
    return 0.3 * _levels(rng), np.clip(0.5 + edge, 0, 1)


flash_clip = partial(_episodes, shortest=10, longest=50, draw=_flash)
"""Spots and full-field flashes of random colours that come on half way through an episode."""

bar_clip = partial(_episodes, shortest=30, longest=60, draw=_bar)
"""Bars of random colours that sweep in eight directions at 8 to 27 pixels per second."""

ARTIFICIAL = (noise_clip, flash_clip, bar_clip, noise_clip)


def movies(count: int, seed: int, frames: int = CLIP_FRAMES, artificial: float = 0.0) -> Tensor:
    """Clips that are the same for a seed, each drawn from a random stream of its own.

    Args:
        count: number of clips.
        seed: other seeds give other clips.
        frames: frames per clip.
        artificial: fraction of clips that are noise, flashes and bars instead of natural-like scenes. Direction,
            opponency and suppression by contrast can hardly be learnt from natural-like scenes alone.

    Returns:
        `(count, 2, frames, 18, 16)`, z-scored, float32.
    """
    kinds: list[Callable[[np.random.Generator, int], Array]] = [natural_clip] * (count - round(artificial * count))
    kinds += [ARTIFICIAL[index % len(ARTIFICIAL)] for index in range(count - len(kinds))]
    clips = [kind(np.random.default_rng((seed, index)), frames) for index, kind in enumerate(kinds)]
    return torch.from_numpy(np.stack(clips).astype(np.float32))
