"""Responses of a run's neurons to stimuli around its own: contrast, colour, size, and shifts in time and space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openretina_cli.analysis import tuning
from openretina_cli.errors import RunError
from openretina_cli.finding.reoptimised import reoptimised
from openretina_cli.finding.runs import Stimulus
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.run.members import MOST_VALUES

Values = NDArray[np.float64]
Ask = Callable[[Tensor], Tensor]
"""Stimuli `(point, channel, time, height, width)` to responses `(point)`."""

CONTRAST, COLOUR, SIZE, TIME, RIGHT, DOWN = "contrast", "colour", "size", "time", "right", "down"
REOPTIMISED = "reoptimised"


@dataclass(frozen=True)
class Curve:
    """Responses along one axis, or on a grid over two.

    Attributes:
        kind: contrast, reoptimised, colour, size, time, right or down.
        x_name: what is varied, with its unit.
        x: `(point,)`.
        response: `(point,)`, mean over the neurons and the window.
        outside: `(point,)`, share of a stimulus' values outside the model's range; NaN where that is not known.
        y_name: what is varied on the other axis of a grid.
        y: `(point,)`; empty for a curve.
        slope: `(point, axis)`, derivative of the response with respect to x and y; empty where it was not asked for.
    """

    kind: str
    x_name: str
    x: Values
    response: Values
    outside: Values
    y_name: str = ""
    y: Values = field(default_factory=lambda: np.zeros(0))
    slope: Values = field(default_factory=lambda: np.zeros((0, 0)))


def asker(retina: Retina, stimulus: Stimulus, frames: int) -> Ask:
    """What answers as a run's objective of the most exciting input does; the model's fast form where it has one."""
    session, neurons = stimulus.result.session, list(stimulus.result.neurons)
    start, stop = stimulus.window(retina.facts.response_frames(frames))
    fast = retina.fast_form(session, neurons, frames, (start, stop))
    if fast is not None:
        return lambda stack: fast(stack).mean((1, 2))
    return lambda stack: retina(stack, data_key=session)[:, start:stop, neurons].mean((1, 2))


def _batches(count: int, values: int) -> Iterator[slice]:
    step = max(MOST_VALUES // values, 1)
    return (slice(start, start + step) for start in range(0, count, step))


def _answers(ask: Ask, stack: Tensor) -> Tensor:
    try:
        found = ask(stack)
    except (ValueError, TypeError, IndexError) as error:
        raise RunError(f"the model failed: {type(error).__name__}: {error}") from error
    if not bool(torch.isfinite(found).all()):
        raise RunError("the model answers with NaN or infinity")
    return found


def respond_to(ask: Ask, stack: NDArray[np.float32], device: torch.device) -> Values:
    """Responses `(point,)` to a stack of stimuli, in batches."""
    with torch.no_grad():
        found = [
            _answers(ask, torch.from_numpy(stack[part]).to(device)) for part in _batches(len(stack), stack[0].size)
        ]
    return torch.cat(found).double().cpu().numpy()


def colour_responses(
    ask: Ask, basis: NDArray[np.float32], weights: Values, device: torch.device
) -> tuple[Values, Values]:
    """Responses to channels at other contrasts, and the derivatives with respect to the contrasts.

    Args:
        ask: the cell.
        basis: the stimulus at contrast 1 in all channels.
        weights: `(point, channel)`, contrasts.
        device: where to compute.

    Returns:
        Responses `(point,)` and derivatives `(point, channel)`.
    """
    responses, slopes, shape = [], [], torch.from_numpy(basis).to(device)
    for part in _batches(len(weights), basis.size):
        factors = torch.tensor(weights[part], dtype=torch.float32, device=device, requires_grad=True)
        answer = _answers(ask, factors[:, :, None, None, None] * shape)
        (slope,) = torch.autograd.grad(answer.sum(), factors)  # a point's response depends on that point alone
        responses.append(answer.detach())
        slopes.append(slope)
    return torch.cat(responses).double().cpu().numpy(), torch.cat(slopes).double().cpu().numpy()


def outside_range(stack: NDArray[np.float32], facts: ModelFacts) -> Values:
    """Share of the values of each stimulus that are outside the model's range; NaN where that is not known."""
    if facts.stimulus_range is None:
        return np.full(len(stack), np.nan)
    pairs = facts.stimulus_range * (len(facts.channels) if len(facts.stimulus_range) == 1 else 1)
    low, high = (
        np.array([default if pair[end] is None else pair[end] for pair in pairs], np.float32)[:, None, None, None]
        for end, default in ((0, -np.inf), (1, np.inf))
    )
    beyond = (stack < low - 1e-6) | (stack > high + 1e-6)  # a stimulus at its limit is inside, whatever was rounded
    share: Values = beyond.mean(axis=(1, 2, 3, 4))
    return share


class Tuner:
    """Varies the stimulus of one run.

    Args:
        retina: the model, on `device`.
        stimulus: the run.
        device: where to compute.
        points: points along each axis.
    """

    def __init__(self, retina: Retina, stimulus: Stimulus, device: torch.device, points: int) -> None:
        self._retina, self._stimulus = retina, stimulus
        self._facts, self._device, self._points = retina.facts, device, points
        self.values = stimulus.values(retina.facts)
        self.centre = tuning.middle(self.values)
        self._ask = asker(retina, stimulus, self.values.shape[1])

    def _curve(self, kind: str, x_name: str, x: Values, stack: NDArray[np.float32]) -> Curve:
        response = respond_to(self._ask, stack, self._device)
        return Curve(kind, x_name, x, response, outside_range(stack, self._facts))

    def contrast(self) -> Curve:
        """The same shape at norms from zero to twice its own."""
        factors = np.linspace(0, 2, 2 * self._points - 1)
        norm = float(np.linalg.norm(self.values.astype(np.float64)))
        return self._curve(CONTRAST, "norm", norm * factors, tuning.scaled(self.values, factors))

    def reoptimised(self, model: Mapping[str, Any] | None) -> Curve:
        """The best stimuli of other norms, see `finding.reoptimised`.

        Raises:
            OpenRetinaError: the run cannot be solved again.
        """
        stack = reoptimised(self._retina, self._stimulus, self._device, model)
        norms = np.linalg.norm(stack.reshape(len(stack), -1).astype(np.float64), axis=1)
        return self._curve(REOPTIMISED, "norm", norms, stack)

    def colour(self, pair: tuple[int, int]) -> Curve:
        """Every combination of contrasts of two channels at equal norm, the others staying at 1."""
        names, basis = self._facts.channels, tuning.equal_norms(self.values)
        weights = tuning.colour_weights(len(names), pair, self._points)
        response, slope = colour_responses(self._ask, basis, weights, self._device)
        outside = np.concatenate(
            [
                outside_range(weights[part].astype(np.float32)[:, :, None, None, None] * basis, self._facts)
                for part in _batches(len(weights), basis.size)
            ]
        )
        first, second = pair
        line = first == second
        return Curve(
            COLOUR,
            f"contrast of {names[first]}",
            weights[:, first],
            response,
            outside,
            y_name="" if line else f"contrast of {names[second]}",
            y=np.zeros(0) if line else weights[:, second],
            slope=slope[:, [first] if line else [first, second]],
        )

    def size(self) -> Curve:
        """Discs of growing diameter, around the pixel of most energy."""
        radii = tuning.disc_radii(self.values.shape[2], self.values.shape[3], self.centre, 2 * self._points - 1)
        pixel = self._facts.pixel_size
        name = "disc diameter (pixels)" if pixel is None else "disc diameter (µm)"
        return self._curve(SIZE, name, 2 * radii * (pixel or 1), tuning.discs(self.values, self.centre, radii))

    def shift(self, kind: str) -> Curve:
        """The stimulus later or earlier, or moved right or down; grey moves in."""
        axis = {TIME: 1, DOWN: 2, RIGHT: 3}[kind]
        steps = tuning.shifts(self.values.shape[axis], 2 * self._points - 1)
        rate, pixel = self._facts.frame_rate, self._facts.pixel_size
        if kind == TIME:
            name, unit = ("later by (s)", 1 / rate) if rate else ("later by (frames)", 1.0)
        else:
            name, unit = (f"{kind} by (µm)", pixel) if pixel else (f"{kind} by (pixels)", 1.0)
        return self._curve(kind, name, np.asarray(steps) * unit, tuning.shifted(self.values, axis, steps))

    def all(self) -> list[Curve]:
        """Every curve and grid."""
        colours = [self.colour(pair) for pair in tuning.colour_pairs(len(self._facts.channels))]
        return [self.contrast(), *colours, self.size(), *(self.shift(kind) for kind in (TIME, RIGHT, DOWN))]
