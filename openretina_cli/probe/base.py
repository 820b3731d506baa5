"""What every probe is: light as a function of trial and frame, and what is measured of the responses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from openretina_cli.checks import require
from openretina_cli.errors import RunError, SettingError
from openretina_cli.models.facts import ModelFacts

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

Values = NDArray[np.float64]
Indices = NDArray[np.int64]
LINE = "#202020"
LIGHT_LINE = "#9a9a9a"


@dataclass(frozen=True)
class Optimum:
    """A stimulus that was optimised for one neuron.

    Attributes:
        values: `(channel, time, height, width)`.
        window: response frames `[start, stop)` that the run optimised.
        folder: of the run.
    """

    values: NDArray[np.float32]
    window: tuple[int, int]
    folder: Path


@dataclass(frozen=True)
class Scene:
    """What stimuli are made for: a model's field, in um and seconds.

    Attributes:
        facts: what is known about the model.
        neurons: those that are asked.
        amplitude: `(channel,)`, value of the stimulus at contrast 1, z-scored; the background is 0.
        seed: of what a probe draws.
        centres: `(neuron or trial, 2)`, x and y in um that `x` and `y` are counted from; empty for the middle.
        optima: by neuron, the stimulus of a finished run that maximised its response.
    """

    facts: ModelFacts
    neurons: Sequence[int]
    amplitude: Values
    seed: int = 0
    centres: Values = field(default_factory=lambda: np.zeros((1, 2)))
    optima: Mapping[int, Optimum] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Frames per second.

        Raises:
            SettingError: the model does not state it.
        """
        if self.facts.frame_rate is None:
            raise SettingError(
                f"{self.facts.name} states no frame rate",
                expected="one for stimuli in seconds",
                repair="model.frame_rate=30",
            )
        return self.facts.frame_rate

    @property
    def pixel(self) -> float:
        """Edge of a pixel in um.

        Raises:
            SettingError: the model does not state it.
        """
        if self.facts.pixel_size is None:
            raise SettingError(
                f"{self.facts.name} states no pixel size",
                expected="one for stimuli in um",
                repair="model.pixel_size=50",
            )
        return self.facts.pixel_size

    def frames(self, seconds: float) -> int:
        """Frames that last so long, at least one."""
        return max(round(seconds * self.rate), 1)

    def seconds(self, frames: Indices) -> Values:
        """When frames begin; 0 is the first after the warm-up."""
        return np.asarray(frames / self.rate)

    def response_times(self, count: int) -> Values:
        """When response frames are, in seconds."""
        return self.seconds(np.arange(count) * self.facts.response_stride)

    def window(self, start_s: float, stop_s: float) -> slice:
        """The response frames from one time to another, at least one."""
        start, stop = (round(time * self.rate / self.facts.response_stride) for time in (start_s, stop_s))
        return slice(start, max(stop, start + 1))

    @property
    def x(self) -> Values:
        """`(trial or 1, 1, 1, 1, width)`: um to the right of the centre."""
        across = (np.arange(self.facts.width) - (self.facts.width - 1) / 2) * self.pixel
        return np.asarray(across - self.centres[:, 0, None, None, None, None])

    @property
    def y(self) -> Values:
        """`(trial or 1, 1, 1, height, 1)`: um above the centre; the first row is on top."""
        up = ((self.facts.height - 1) / 2 - np.arange(self.facts.height)) * self.pixel
        return np.asarray(up[:, None] - self.centres[:, 1, None, None, None, None])

    @property
    def diagonal(self) -> float:
        """Diagonal of the field in um."""
        return math.hypot(self.facts.height, self.facts.width) * self.pixel

    def at(self, centres: Values) -> Scene:
        """The same field, with `x` and `y` counted from other centres `(trial, 2)`."""
        return replace(self, centres=centres)

    def soft(self, inside: Values) -> Values:
        """Light of a pixel whose middle is so many um inside an edge: 0.5 on the edge, and 1 half a pixel inside."""
        return np.clip(0.5 + inside / self.pixel, 0, 1)


@dataclass(frozen=True)
class Played:
    """Responses to the trials of a probe.

    Attributes:
        response: `(trial, response frame, neuron)`; response frame 0 is that of frame 0 of the trial.
        baseline: `(neuron,)`, response to the background.
        outside: share of the stimulus' values that are outside the model's range; NaN where that is not known.
    """

    response: NDArray[np.float32]
    baseline: Values
    outside: float = math.nan

    @property
    def change(self) -> Values:
        """`(trial, response frame, neuron)`: responses less those to the background."""
        return np.asarray(self.response - self.baseline, np.float64)

    @property
    def least(self) -> Values:
        """`(neuron,)`: mean changes below this are no response: a hundredth of the largest change of the neuron."""
        return np.asarray(np.abs(self.change).max((0, 1)) / 100)


@dataclass(frozen=True)
class Answer:
    """What a probe found.

    Attributes:
        columns: by name a number `(neuron,)` of every neuron, for the table; NaN where it means nothing.
        arrays: by name what a figure shows, `(neuron, ...)`.
        axes: by name what the axes of these arrays are.
    """

    columns: Mapping[str, Values]
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    axes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that would hide each other in one file.

        Raises:
            RunError: a name is there twice.
        """
        names = [*self.columns, *self.arrays, *self.axes]
        if twice := {name for name in names if names.count(name) > 1}:
            raise RunError(f"a probe calls two of its results {min(twice)}", expected="a name for each")


class Probe:
    """One standard stimulus.

    The model is shown `lag` frames of warm-up before frame 0 of each trial; `contrast` is asked about them as frames
    with negative numbers.

    Attributes:
        headline: by column, what the printed table calls it.
        centred: whether stimuli lie around the receptive field of each neuron, which is then found first.
        width: of the figure's panel, in twelfths of a row.
    """

    headline: ClassVar[Mapping[str, str]] = {}
    centred: ClassVar[bool] = False
    width: ClassVar[int] = 4

    def check(self, scene: Scene) -> None:
        """Refuse a model that the probe cannot be shown to, before any of it is computed.

        Raises:
            SettingError: the model lacks a fact, or a setting does not fit it.
        """

    def trials(self, scene: Scene) -> int:
        """Number of trials; of a centred probe, for one centre."""
        raise NotImplementedError

    def frames(self, scene: Scene) -> int:
        """Frames of a trial."""
        raise NotImplementedError

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> NDArray[np.generic]:
        """What is shown.

        Args:
            scene: the field; of a centred probe, with a centre for every one of `trials`.
            trials: `(trial,)`, numbers of trials.
            frames: `(frame,)`, consecutive numbers of frames; negative ones are the warm-up.

        Returns:
            Contrast that broadcasts to `(trial, channel, frame, height, width)`; 0 is the background, and 1 and -1 the
            amplitude of each channel.
        """
        raise NotImplementedError

    def measure(self, scene: Scene, played: Played) -> Answer:
        """What the responses say of each neuron."""
        raise NotImplementedError

    def draw(self, figure: SubFigure, scene: Scene, answer: Answer, row: int) -> None:
        """Draw one neuron; by default the traces of `arrays["trace"]` `(neuron, trial, time)` over `axes["time_s"]`."""
        ax = figure.subplots()
        if "trace" in answer.arrays:
            ax.plot(answer.axes["time_s"], answer.arrays["trace"][row].T, color=LINE, linewidth=1)
            ax.set_xlabel("time (s)")
            ax.set_ylabel("response")
        ax.set_title(type(self).__name__, loc="left")


def traces(played: Played) -> NDArray[np.float32]:
    """Responses as arrays keep them: `(neuron, trial, time)`."""
    return np.ascontiguousarray(played.response.transpose(2, 0, 1))


def ratio(difference: Values, total: Values, least: Values | float = 0.0) -> Values:
    """A quotient; NaN where the divisor is not above a limit."""
    positive = total > least
    return np.where(positive, difference / np.where(positive, total, 1), np.nan)


def polarity_index(on: Values, off: Values, least: Values) -> Values:
    """`(on - off) / (on + off)` of responses that are not negative (Baden et al. 2016; 1 is ON, -1 OFF, 0 ON-OFF)."""
    return ratio(on - off, on + off, least)


def above(change: Values) -> Values:
    """Mean over time `(..., neuron)` of what exceeds the background, of changes `(..., time, neuron)`."""
    return np.asarray(np.maximum(change, 0).mean(-2))


def titled(title: str, name: str, value: float) -> str:
    """A title with a number, which is left out where it means nothing."""
    return title if math.isnan(value) else f"{title}: {name} {value:.2f}"


def check_hertz(name: str, hertz: float, scene: Scene) -> None:
    """Refuse a frequency that a model's frames cannot show.

    Raises:
        SettingError: it is above half the frame rate.
    """
    expected = f"at most {scene.rate / 2:g} Hz, half the frame rate of {scene.facts.name}"
    require(hertz <= scene.rate / 2, name, hertz, expected)
