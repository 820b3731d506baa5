"""Plays probes to all neurons of a session at once, in stacks of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openretina_cli.errors import RunError, SettingError
from openretina_cli.finding.probe_settings import CENTRE
from openretina_cli.finding.tuning import outside_range
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.probe.base import Answer, Indices, Played, Probe, Scene, Values
from openretina_cli.run.members import MOST_VALUES

LONGEST_VALUES = 2**21
"""Values of one trial that are shown at once; a longer one is shown in parts, each with its own warm-up."""
MAP_UM = 100.0
"""Edge of the squares that find receptive fields: about a centre of a mouse ganglion cell (Baden et al. 2016)."""
MAP_S = 0.5
"""Seconds of a square."""
MOST_SQUARES = 400
OUTSIDE = "outside_range_share"
"""Array of every answer: see `Played.outside`."""

Report = Callable[[str, int, int], None]


class Listener:
    """Neurons of a session of a model, ready to be asked.

    Args:
        retina: the model, on `device`.
        session: the session.
        neurons: which of its neurons.
        device: where the model is.
    """

    def __init__(self, retina: Retina, session: str, neurons: Sequence[int], device: torch.device) -> None:
        self._retina, self._session, self.neurons, self._device = retina, session, list(neurons), device
        self._forms: dict[int, nn.Module | None] = {}

    def _form(self, frames: int) -> nn.Module | None:
        """The model's fast form for stimuli of a length; None where it has none."""
        if frames not in self._forms:
            self._forms[frames] = self._retina.fast_form(self._session, self.neurons, frames, None)
        return self._forms[frames]

    @property
    def span(self) -> int | None:
        """Frames after the warm-up that a fast form answers soonest; None for a model without, which may be recurrent.

        Of the bundled ensemble, a response frame took 0.21 ms in stacks of 60 to 80 frames, 0.31 ms in those of 200,
        and 0.40 ms without the fast form.
        """
        warm_up, stride = self._retina.facts.lag, self._retina.facts.response_stride
        span = max(3 * warm_up // 2, 15 * stride)
        span -= span % stride
        return None if self._form(warm_up + span) is None else span

    @torch.inference_mode()
    def ask(self, stimulus: NDArray[np.float32]) -> NDArray[np.float32]:
        """Responses `(trial, response frame, neuron)` to `(trial, channel, time, height, width)`.

        Raises:
            RunError: the model fails, or a response is not finite.
        """
        try:
            shown, fast = torch.from_numpy(stimulus).to(self._device), self._form(stimulus.shape[2])
            answer: Tensor = (
                self._retina(shown, data_key=self._session)[..., self.neurons] if fast is None else fast(shown)
            )
            found = answer.float().cpu()
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if "memory" in str(error):
                raise
            raise RunError(f"the model failed on session {self._session}: {type(error).__name__}: {error}") from error
        broken = (~found.isfinite()).any(0).any(0).nonzero().flatten().tolist()
        if broken:
            named = ", ".join(str(self.neurons[row]) for row in broken[:10])
            raise RunError(f"neuron {named} of session {self._session} answers with NaN or infinity")
        return found.numpy()


def amplitudes(facts: ModelFacts, stated: Sequence[float] | float | None) -> Values:
    """Value of contrast 1 in each channel: as stated, or the distance from 0 to the nearer end of the model's range.

    Raises:
        SettingError: nothing is stated, and the model states no range around 0; or another number of values is stated.
    """
    count = len(facts.channels)
    if stated is not None:
        given = list(stated) if isinstance(stated, (list, tuple)) else [stated] * count
        if len(given) != count:
            raise SettingError(
                f"amplitude has {len(given)} values", expected=f"{count}, one per channel of {facts.name}"
            )
        return np.array(given, np.float64)
    pairs = list(facts.stimulus_range or ()) * (count if len(facts.stimulus_range or ()) == 1 else 1)
    found = [min(-low, high) if low is not None and high is not None else 0.0 for low, high in pairs]
    if len(found) != count or min(found) <= 0:
        raise SettingError(
            f"{facts.name} states no range of stimuli around 0", expected="what contrast 1 is", repair="amplitude=1.0"
        )
    return np.array(found)


Part = tuple[Indices, int, int]
"""Trials, and their frames `[start, stop)`."""


def _stacks(trials: int, frames: int, facts: ModelFacts, values: int, span: int | None) -> Iterator[list[Part]]:
    """Parts of one length that are shown at once; `values` are those of one frame."""
    warm_up, stride = facts.lag, facts.response_stride
    step = max(LONGEST_VALUES // values - warm_up, warm_up, stride) if span is None else span
    step = min(step - step % stride, frames)
    at_once = max(MOST_VALUES // ((step + warm_up) * values), 1)
    whole: list[Part] = []
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        for first in range(0, trials, at_once):
            part = np.arange(first, min(first + at_once, trials)), start, stop
            if whole and (stop - start < step or sum(len(chosen) for chosen, _, _ in [*whole, part]) > at_once):
                yield whole
                whole = []
            whole.append(part)
    yield whole


def stimulus_of(probe: Probe, scene: Scene, trials: Indices, frames: Indices) -> NDArray[np.float32]:
    """What a model is shown, z-scored: `(trial, channel, frame, height, width)`."""
    facts = scene.facts
    contrast = np.asarray(probe.contrast(scene, trials, frames), np.float32)
    scaled = contrast * scene.amplitude.astype(np.float32)[:, None, None, None]
    shape = (len(trials), len(facts.channels), len(frames), facts.height, facts.width)
    return np.array(np.broadcast_to(scaled, shape), order="C")  # a copy that a model may write to


def play(probe: Probe, name: str, scene: Scene, listener: Listener, report: Report) -> Played:
    """Show all trials of a probe; those of a centred one at every centre, of which a neuron's own is kept.

    Args:
        probe: the probe.
        name: of the stage, for progress.
        scene: the field; for a centred probe with the centre of every neuron.
        listener: the neurons.
        report: called with the stage, values shown and all.
    """
    facts, count, frames = scene.facts, probe.trials(scene), probe.frames(scene)
    neurons = len(listener.neurons)
    places, own = np.zeros((1, 2)), np.zeros(neurons, np.int64)
    if probe.centred:
        places, own = np.unique(np.round(scene.centres / scene.pixel * 2) / 2, axis=0, return_inverse=True)
        places, own = places * scene.pixel, own.reshape(-1)
    length = -(-frames // facts.response_stride)
    response = np.zeros((count, length, neurons), np.float32)
    shape = (facts.height, facts.width, len(facts.channels))
    stacks = [*_stacks(len(places) * count, frames, facts, int(np.prod(shape)), listener.span)]
    outside = []
    for number, stack in enumerate(stacks):
        shown = []
        for trials, start, stop in stack:
            place, trial = np.divmod(trials, count)
            here = scene.at(places[place] if probe.centred else np.zeros((1, 2)))
            shown.append(stimulus_of(probe, here, trial, np.arange(start - facts.lag, stop)))
        stimuli = np.concatenate(shown)
        outside.append(float(outside_range(stimuli, facts).mean()))
        numbers = ((trial, start // facts.response_stride) for trials, start, _ in stack for trial in trials)
        for found, (trial, first) in zip(listener.ask(stimuli), numbers, strict=True):
            chosen = own == trial // count
            response[trial % count, first : first + len(found), chosen] = found[:, chosen].T
        report(name, number + 1, len(stacks))
    return Played(response, baseline_of(scene, listener), sum(outside) / len(stacks))


def baseline_of(scene: Scene, listener: Listener) -> Values:
    """Response `(neuron,)` to the background."""
    facts = scene.facts
    grey = np.zeros((1, len(facts.channels), facts.lag + 1, facts.height, facts.width), np.float32)
    return np.asarray(listener.ask(grey)[0, -1], np.float64)


class Squares(Probe):
    """Bright and dark squares all over the field, which find receptive fields."""

    def _grid(self, scene: Scene) -> tuple[int, int, int]:
        """Pixels along the edge of a square, rows and columns of squares."""
        pixels = max(round(MAP_UM / scene.pixel), 1)
        while -(-scene.facts.height // pixels) * -(-scene.facts.width // pixels) > MOST_SQUARES:
            pixels += 1
        return pixels, -(-scene.facts.height // pixels), -(-scene.facts.width // pixels)

    def trials(self, scene: Scene) -> int:
        """See `Probe.trials`."""
        _, rows, columns = self._grid(scene)
        return 2 * rows * columns

    def frames(self, scene: Scene) -> int:
        """See `Probe.frames`."""
        return scene.frames(MAP_S)

    def _squares(self, scene: Scene) -> NDArray[np.bool_]:
        """`(square, height, width)`."""
        pixels, rows, columns = self._grid(scene)
        row, column = np.divmod(np.arange(rows * columns), columns)
        down, across = np.arange(scene.facts.height) // pixels, np.arange(scene.facts.width) // pixels
        return np.asarray((row[:, None] == down)[:, :, None] & (column[:, None] == across)[:, None])

    def contrast(self, scene: Scene, trials: Indices, frames: Indices) -> Values:
        """See `Probe.contrast`."""
        lit = self._squares(scene)[trials // 2][:, None, None]
        return np.asarray(
            lit * np.where(trials % 2, -1.0, 1.0)[:, None, None, None, None] * (frames >= 0)[:, None, None]
        )

    def measure(self, scene: Scene, played: Played) -> Answer:
        """Centre in um: the middle of the squares that move the response by half as much as the strongest or more."""
        power = np.square(played.change).sum(1)
        power = power[::2] + power[1::2]  # (square, neuron)
        strong = np.where(power >= power.max(0) / 2, power, 0)
        weight = strong / np.maximum(strong.sum(0), np.finfo(float).tiny)
        squares = self._squares(scene).astype(np.float64)
        squares /= squares.sum((1, 2), keepdims=True)
        columns = {}
        for name, place in (("x_um", scene.at(np.zeros((1, 2))).x), ("y_um", scene.at(np.zeros((1, 2))).y)):
            middles = (squares * place[0, 0]).sum((1, 2))
            columns[name] = middles @ weight
        return Answer(columns)


def probe_neurons(
    probes: Mapping[str, Probe],
    scene: Scene,
    listener: Listener,
    known: Callable[[str], Answer | None],
    keep: Callable[[str, Answer], None],
    report: Report,
) -> dict[str, Answer]:
    """Show all probes.

    Args:
        probes: by name, in order.
        scene: the field.
        listener: the neurons.
        known: what an interrupted command has found by a probe.
        keep: told what a probe has found.
        report: called with progress.

    Returns:
        By name what each probe found, after `centre` where receptive fields were needed.
    """
    found: dict[str, Answer] = {}
    order = {CENTRE: Squares(), **probes} if any(probe.centred for probe in probes.values()) else dict(probes)
    for name, probe in order.items():
        answer = known(name)
        if answer is None:
            played = play(probe, name.replace("_", " "), scene, listener, report)
            found_now = probe.measure(scene, played)
            answer = replace(found_now, axes={**found_now.axes, OUTSIDE: np.array(played.outside)})
            keep(name, answer)
        found[name] = answer
        if name == CENTRE:
            scene = replace(scene, centres=np.stack([answer.columns["x_um"], answer.columns["y_um"]], axis=1))
    return found
