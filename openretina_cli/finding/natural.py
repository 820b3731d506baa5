"""The control of an optimised stimulus: how many natural clips of its norm, in its field, score as high as it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openretina_cli.analysis.decomposition import decompose
from openretina_cli.analysis.field import Field
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.finding.files import number
from openretina_cli.finding.runs import Stimulus
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.run.natural import clips_of, natural_clips, scores_of_clips
from openretina_cli.run.problem import Plan, accelerate
from openretina_cli.run.stated import plan_again, read_settings_of
from openretina_cli.simulation.movies import CHANNELS, HEIGHT, WIDTH
from openretina_cli.simulation.retina import SESSIONS
from openretina_cli.stimulus.files import read_movies
from openretina_cli.store.aside import write_whole
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import RESULT
from openretina_cli.store.result import read_result
from openretina_cli.store.values import count, numbers, text
from openretina_cli.store.values import number as number_in
from openretina_cli.text import csv_text

FILE = "natural.csv"
ROWS = ("optimised", "best natural clip")


Of = Mapping[str, object] | None
"""What a control depends on; None for what cannot be known."""


@dataclass(frozen=True)
class Control:
    """An optimised stimulus among natural clips.

    Attributes:
        stimulus: name of the run.
        percentile: percent of the clips that score less.
        score: the objective of the optimised stimulus.
        best: that of the best clip; both as the run reports them, so that less is better for `objective=mdi`.
        clip: number of the best clip.
        clips: how many there are.
        norm: L2 norm of all of them, before the run's constraints.
        field: what the clips are windowed to: row, column and width of a Gaussian in pixels; None for no window.
        note: why there is no window; empty where there is one.
    """

    stimulus: str
    percentile: float
    score: float
    best: float
    clip: int
    clips: int
    norm: float
    field: tuple[float, float, float] | None
    note: str

    def recorded(self, of: Of) -> dict[str, Any]:
        """What `result.json` says of it.

        Args:
            of: what the numbers depend on.
        """
        return {**{name: value for name, value in vars(self).items() if name != "stimulus"}, "of": dict(of or {})}


def recorded_control(stimulus: Stimulus, of: Of) -> Control | None:
    """The control that a run's result has already, where it depends on the same."""
    tree = stimulus.result.tree.get("natural")
    if not isinstance(tree, Mapping) or of is None or tree.get("of") != of:
        return None
    scores = [number_in(tree.get(name)) for name in ("percentile", "score", "best", "norm")]
    places, field = [count(tree.get(name)) for name in ("clip", "clips")], numbers(tree.get("field"))
    if None in scores or None in places or (field is not None and (None in field or len(field) != 3)):
        return None
    percentile, score, best, norm = (value or 0.0 for value in scores)
    clip, clips = (value or 0 for value in places)
    place = None if field is None else (field[0] or 0.0, field[1] or 0.0, field[2] or 0.0)
    return Control(stimulus.name, percentile, score, best, clip, clips, norm, place, text(tree.get("note")) or "")


def clips_for(facts: ModelFacts, movie: str | None, frames: int, clips: int) -> Tensor:
    """Natural clips `(clip, channel, time, height, width)` for a model, the same ones every time.

    Args:
        facts: of the model.
        movie: a file of movies; None draws natural-like clips from the generator that the simulated retina was shown.
        frames: length of the clips.
        clips: how many.

    Raises:
        SettingError: the file cannot be used, or there is none, and the model is no twin of the simulated retina.
    """
    shape = (len(facts.channels), frames, facts.height, facts.width)
    if movie is not None:
        return clips_of(read_movies(movie, shape, "movie"), frames, clips)
    if shape != (len(CHANNELS), frames, HEIGHT, WIDTH) or not facts.sessions.keys() <= SESSIONS.keys():
        raise SettingError(
            f"there are no natural clips for {facts.name}",
            expected="a .pt or .npy file of movies (clip, channel, time, height, width), z-scored",
            repair="movie=FILE",
        )
    return natural_clips(frames, clips)


def field_of(stimulus: np.ndarray[Any, np.dtype[np.float32]]) -> Field | str:
    """The centre of the channel with the most power, or why it has none."""
    parts = [decompose(channel) for channel in stimulus]
    return max(parts, key=lambda part: float(np.square(part.approximation).sum())).field


def _plan(retina: Retina, stimulus: Stimulus, device: torch.device, model: Mapping[str, Any] | None) -> Plan:
    folder = stimulus.result.path.parent
    plan = plan_again(read_settings_of(stimulus.result, model), retina, device, folder)
    if plan.problem.objective.set_size > 1:
        raise SettingError(f"{folder} is a set of stimuli", expected="runs of one stimulus each")
    return accelerate([plan])[0]


def control(
    retina: Retina, stimulus: Stimulus, clips: Tensor, device: torch.device, model: Mapping[str, Any] | None = None
) -> Control:
    """Score natural clips by the objective of a run.

    The clips are faded to grey around the centre that is fitted to the optimised stimulus (`analysis.field`), left grey
    in frames that do not reach the score, scaled to the norm of the stimulus, and put under the run's constraints.

    Args:
        retina: the model, on `device`.
        stimulus: the run.
        clips: as long as the stimulus.
        device: where to compute.
        model: settings in place of the model that the run states, see `read_settings_of`.

    Raises:
        OpenRetinaError: the run's settings cannot be used.
    """
    values = stimulus.values(retina.facts)
    plan = _plan(retina, stimulus, device, model)
    problem, field, norm = plan.problem, field_of(values), float(np.linalg.norm(values.astype(np.float64)))
    shape = (retina.facts.height, retina.facts.width)
    window = np.ones(shape) if isinstance(field, str) else field.window(*shape)
    start, stop = plan.seen(values.shape[1])
    scores = scores_of_clips(clips.to(device), torch.from_numpy(window).float(), slice(start, stop), norm, problem)
    with torch.no_grad():
        own = float(problem.objective.forward(torch.from_numpy(values)[None].to(device)))
    best, sign = int(scores.argmax()), problem.objective.sign
    return Control(
        stimulus=stimulus.name,
        percentile=100 * int((scores < own).sum()) / len(clips),
        score=sign * own,
        best=sign * float(scores[best]),
        clip=best,
        clips=len(clips),
        norm=norm,
        field=None if isinstance(field, str) else (field.row, field.column, field.sigma),
        note=field if isinstance(field, str) else "",
    )


def natural_csv(found: Sequence[Control]) -> str:
    """Two rows per run: the optimised stimulus, and the best natural clip as its baseline."""
    header = ["stimulus", "what", "objective", "percentile", "clip", "clips", "norm", "row", "column", "sigma", "note"]
    rows: list[list[object]] = []
    for one in found:
        place = [number(value) for value in one.field or (float("nan"),) * 3]
        both = ((one.score, number(one.percentile), ""), (one.best, "", one.clip))
        for name, (score, percentile, clip) in zip(ROWS, both, strict=True):
            rows.append(
                [one.stimulus, name, number(score), percentile, clip, one.clips, number(one.norm), *place, one.note]
            )
    return csv_text([header, *rows])


def record(found: Control, stimulus: Stimulus, of: Of) -> None:
    """Write a control into the result of its run, from where table and page take it.

    Raises:
        ArtifactError: it cannot be written.
    """
    folder = stimulus.result.path.parent
    try:
        with suppress(ArtifactError):
            now = read_result(folder)
            if now.finished == stimulus.result.finished:  # a run that was made anew meanwhile has another stimulus
                write_whole(folder, {RESULT: json_bytes({**now.tree, "natural": found.recorded(of)})})
    except OSError as error:
        problem = f"{folder} cannot be written: {error.strerror or error}"
        raise ArtifactError(problem, repair="out=FOLDER") from error
