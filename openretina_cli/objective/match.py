"""`objective=match`: the response comes as close as possible to a target."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.tensor_file import read_tensor
from openretina_cli.objective.base import Model, ReducedObjective, named
from openretina_cli.objective.cells import neurons_meant
from openretina_cli.objective.stack import Means, Scorer
from openretina_cli.reducer import ResponseReducer
from openretina_cli.store.stimulus_file import read_stimulus_file


def _read(name: str, file: str) -> Tensor:
    """A target, or a stimulus `(channel, time, height, width)`.

    Raises:
        SettingError: the file cannot be read.
    """
    if name == "file":
        return read_tensor(name, file)
    try:
        return torch.from_numpy(read_stimulus_file(Path(file).expanduser()))
    except ArtifactError as error:
        raise SettingError(f"{name}: {error.problem}", expected=error.expected) from error


def _centred_cosines(one: Tensor, other: Tensor) -> Tensor:
    """Correlation along the first axis; 0 where `one` does not vary."""
    pair = (one - one.mean(0), other - other.mean(0))
    return torch.cosine_similarity(*pair, dim=0)


class MatchResponse(ReducedObjective):
    """The response of neurons matches a target: a trace per neuron, or a vector with one number per neuron.

    The score is minus the mean squared difference over frames and neurons; or the correlation, for traces over time and
    averaged over neurons, for a vector over neurons. A trace has the frames of the window or of the whole response, of
    which the window counts; a vector is compared with the reduced response.

    Args:
        model: see `Model`.
        data_key: the session.
        response_reducer: the window.
        facts: what is known about the model.
        neuron: a neuron, several, or "all".
        group: a cell-type group instead of `neuron`.
        file: `.npy` or `.pt` with a trace `(time, neuron)`, of one neuron also `(time,)`, or a vector `(neuron,)`.
        stimulus: a `.pt` file of a stimulus `(1, channel, time, height, width)`, whose response is the target trace.
        by: what the score is.

    Raises:
        SettingError: there is not exactly one of file and stimulus, it cannot be read, or does not fit.
    """

    def __init__(
        self,
        model: Model,
        data_key: str,
        response_reducer: ResponseReducer,
        facts: ModelFacts,
        neuron: Any,
        group: int | None = None,
        file: str | None = None,
        stimulus: str | None = None,
        by: Literal["squared_error", "correlation"] = "squared_error",
    ) -> None:
        super().__init__(model, data_key, response_reducer)
        require((file is None) != (stimulus is None), "file", file, "either objective.file or objective.stimulus")
        self._neurons = neurons_meant(facts, data_key, neuron, group)
        self._by = by
        self._what, self._source = ("file", file) if stimulus is None else ("stimulus", stimulus)
        read = _read(self._what, str(self._source))
        self._target = self._answer(read, facts) if stimulus is not None else self._shaped(read)
        if by == "correlation" and not bool((self._target.std(0, correction=0) > 0).all()):
            raise SettingError(
                f"{self._what}={self._source} holds a target that does not vary, with which nothing correlates",
                repair="objective.by=squared_error",
            )

    @torch.no_grad()
    def _answer(self, stimulus: Tensor, facts: ModelFacts) -> Tensor:
        """The response `(time, neuron)` to a saved stimulus."""
        field = (len(facts.channels), facts.height, facts.width)
        found = (stimulus.shape[0], *stimulus.shape[2:])
        require(found == field, "stimulus", self._source, f"{field} as channels, height and width, not {found}")
        require(facts.response_frames(stimulus.shape[1]) > 0, "stimulus", self._source, f"over {facts.lag} frames")
        weights = next((weights for module in self.modules() for weights in module.parameters()), stimulus)
        answer: Tensor = self.respond(stimulus[None].to(weights.device))[0, :, self._neurons].detach()
        return answer

    def _shaped(self, target: Tensor) -> Tensor:
        """A target as a trace `(time, neuron)` or a vector `(neuron,)`."""
        count = len(self._neurons)
        if target.dim() == 1 and count == 1 and len(target) > 1:
            target = target[:, None]
        fits = target.dim() in (1, 2) and target.shape[-1] == count
        shape = tuple(target.shape)
        require(fits, "file", self._source, f"({count},) or (time, {count}) for {named(self._neurons)}, not {shape}")
        return target

    def window(self, frames: int) -> tuple[int, int]:
        """The reducer's window.

        Raises:
            SettingError: the target has another number of frames.
        """
        start, stop = self._response_reducer.window(frames)
        rows = len(self._target)
        if self._target.dim() == 2 and rows not in (frames, stop - start):
            raise SettingError(
                f"{self._what}={self._source} holds a target of {rows} frames",
                expected=f"the {stop - start} frames of the window, or all {frames} of the response",
            )
        return start, stop

    def score(self, response: Tensor) -> Tensor:
        """Compare the response with the target."""
        start, stop = self.window(len(response))
        target = self._target.to(response)
        answer = response[:, self._neurons]
        if target.dim() == 1:
            answer = self._response_reducer.forward(answer)
        else:
            target = target[start:stop] if len(target) == len(answer) else target
            answer = answer[start:stop]
        return (
            _centred_cosines(answer, target).mean() if self._by == "correlation" else -(answer - target).square().mean()
        )

    def grouping(self) -> Hashable | None:
        """Runs of equal windows, measures and shapes of target are scored together."""
        alike = super().grouping()
        return alike and (alike, self._by, tuple(self._target.shape))

    @classmethod
    def scorer(cls, objectives: Sequence[Any], responses: Tensor) -> Scorer:
        """Compare all runs with their targets at once, as `(time or neuron, run, neuron or 1)`."""
        first, runs = objectives[0], len(objectives)
        means = Means([[[neuron] for neuron in one._neurons] for one in objectives], first._response_reducer, responses)
        start, stop = first.window(responses.shape[1])
        target = torch.stack([one._target for one in objectives], dim=1).to(responses)
        vector = target.dim() == 2
        target = target.view(len(target), runs, -1)
        if not vector and len(target) == responses.shape[1]:
            target = target[start:stop]

        def score(responses: Tensor) -> Tensor:
            answer = means.of_reduced(responses).T[..., None] if vector else means.traces(responses)[start:stop]
            if first._by == "correlation":
                return _centred_cosines(answer, target).mean(-1)
            return -(answer - target).square().mean((0, 2))

        return score

    def neurons(self) -> tuple[int, ...]:
        """The neurons that have a target."""
        return tuple(self._neurons)

    def __repr__(self) -> str:
        measure = "correlation with" if self._by == "correlation" else "squared error to"
        source = Path(str(self._source)).name
        kind = source if self._what == "file" else f"the response to {source}"
        return f"{measure} {kind} of {named(self._neurons)}, {self._response_reducer!r}"
