"""The whole way of one run, or of one batch: settings, model, objective, loop, artefacts."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from openretina_cli.artifacts import folder as names
from openretina_cli.artifacts.tables import write_history, write_response, write_result, write_stimulus
from openretina_cli.artifacts.view import RunView
from openretina_cli.build.acceleration import accelerate
from openretina_cli.build.model import build_model, choose_device
from openretina_cli.build.problem import Plan, plan_run
from openretina_cli.config.options import Output
from openretina_cli.config.settings import Settings
from openretina_cli.errors import ArtifactError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.optimization.loop import Outcome, optimize_stack
from openretina_cli.optimization.stopper import Step

log = logging.getLogger(__name__)

CHUNK = {"cpu": 16, "cuda": 256, "mps": 64}
"""Runs in one stack, by device. On the CPU the activations of 16 runs of the published model still fit its caches:
1 run took 4.5 ms per iteration, 8 runs 2.4 ms each, 16 runs 2.35, 32 runs 3.1. GPUs want more; that is a guess."""


class Reporter(Protocol):
    """Hears how a batch goes on."""

    def download(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None:
        """Bytes of a download arrived."""

    def begin(self, titles: Sequence[str], facts: ModelFacts, device: str, iterations: int) -> None:
        """The model is loaded, and the runs begin."""

    def step(self, run: int, step: Step) -> None:
        """A stimulus of one run was measured."""

    def write(self) -> None:
        """The artefacts are being written."""


@dataclass(frozen=True)
class Solved:
    """One solved run, ready to be written.

    Attributes:
        plan: what was asked for.
        outcome: what the loop found.
        view: what the pictures show.
        device: where it ran.
        seconds: wall time of the batch it was solved in.
        batch: number of runs in that batch.
    """

    plan: Plan
    outcome: Outcome
    view: RunView
    device: torch.device
    seconds: float
    batch: int

    @property
    def failure(self) -> str | None:
        """What went wrong, if the run diverged."""
        return self.outcome.failure


def title_of(plan: Plan) -> str:
    """What a run optimises, in one line."""
    return f"{plan.retina.facts.name}, session {plan.session}: {plan.problem.objective!r}"


def _view(plan: Plan, outcome: Outcome) -> RunView:
    facts = plan.retina.facts
    with torch.no_grad():
        response = plan.retina(outcome.stimulus[None], data_key=plan.session)[0].float().cpu().numpy()
    return RunView(
        stimulus=outcome.stimulus.float().cpu().numpy().astype(np.float32),
        channels=facts.channels,
        response=response[:, list(plan.neurons)],
        trace_names=tuple(f"neuron {neuron}" for neuron in plan.neurons),
        lag=facts.lag,
        window=plan.window,
        frame_rate=facts.frame_rate,
        pixel_size=facts.pixel_size,
        title=title_of(plan),
    )


def _optimize_in_chunks(plans: Sequence[Plan], size: int, reporter: Reporter) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for first in range(0, len(plans), size):
        chunk = [plan.problem for plan in plans[first : first + size]]
        outcomes += optimize_stack(chunk, lambda run, step, first=first: reporter.step(first + run, step))  # type: ignore[misc]  # a default argument binds the loop's variable
    return outcomes


def solve(batch: Sequence[Settings], reporter: Reporter) -> list[Solved]:
    """Solve runs that share their model as one stack.

    Args:
        batch: settings that agree in `model` and `device`.
        reporter: hears how it goes on.

    Raises:
        OpenRetinaError: a setting, the model, or an objective is at fault.
    """
    first = batch[0]
    started = time.perf_counter()
    device = choose_device(first.device)
    retina = build_model(first.model, first.stimulus.frames, device, reporter.download)
    plans = accelerate([plan_run(settings, retina, device) for settings in batch])
    iterations = max(plan.problem.stopper.max_iterations for plan in plans)
    reporter.begin([title_of(plan) for plan in plans], retina.facts, str(device), iterations)
    for plan in plans:
        log.info("%s on %s, until %r", title_of(plan), device, plan.problem.stopper)
    outcomes = _optimize_in_chunks(plans, CHUNK[device.type], reporter)
    seconds = time.perf_counter() - started
    return [
        Solved(plan, outcome, _view(plan, outcome), device, seconds, len(batch))
        for plan, outcome in zip(plans, outcomes, strict=True)
    ]


def _versions() -> dict[str, str]:
    packages = ("openretina-cli", "torch", "numpy", "hydra-core", "av", "matplotlib")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _stimulus_facts(solved: Solved) -> dict[str, Any]:
    stimulus = solved.view.stimulus
    ranges = {
        channel: [float(values.min()), float(values.max())]
        for channel, values in zip(solved.view.channels, stimulus, strict=True)
    }
    norm = float(np.linalg.norm(stimulus.astype(np.float64)))
    return {"shape": [1, *stimulus.shape], "norm": norm, "range": ranges}


def result_of(solved: Solved) -> dict[str, Any]:
    """What `result.json` says of a run."""
    plan, outcome, facts = solved.plan, solved.outcome, solved.plan.retina.facts
    return {
        "status": "diverged" if outcome.failure else "completed",
        "failure": outcome.failure,
        "settings_key": plan.settings.key,
        "objective": {
            "text": repr(plan.problem.objective),
            "initial": outcome.history[0].objective,
            "final": outcome.objective,
            "best": outcome.best,
            "penalty": outcome.history[outcome.kept].penalty,
        },
        "session": plan.session,
        "neurons": list(plan.neurons),
        "seed": plan.settings.seed,
        "iterations": outcome.history[-1].iteration,
        "kept": {"rule": plan.settings.keep, "iteration": outcome.kept},
        "stop_reason": outcome.stop_reason,
        "stimulus": _stimulus_facts(solved),
        "constraints": [repr(constraint) for constraint in plan.problem.constraints],
        "warnings": list(outcome.warnings),
        "lag_frames": facts.lag,
        "frame_rate_hz": facts.frame_rate,
        "pixel_size_um": facts.pixel_size,
        "window_response_frames": None if plan.window is None else list(plan.window),
        "channels": list(facts.channels),
        "model": {"name": facts.name, "source": facts.source, "sha256": facts.sha256, "note": facts.note},
        "device": str(solved.device),
        "wall_time_s": solved.seconds,
        "runs_in_batch": solved.batch,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
    }


def _write_pictures(view: RunView, output: Output, folder: Path) -> None:
    if output.video:
        from openretina_cli.artifacts.video import write_video  # PyAV only where a video is wanted

        write_video(view, folder / names.VIDEO, scale="joint" if output.video_scale == "joint" else "symmetric")
    if output.figure:
        from openretina_cli.artifacts.figure import write_composition  # likewise matplotlib

        write_composition(view, folder / names.FIGURE, formats=tuple(output.figure))


def write(solved: Solved, folder: Path) -> dict[str, Any]:
    """Write all artefacts of a run into a folder, the result last, and return the result.

    Raises:
        ArtifactError: a file could not be written.
    """
    try:
        write_stimulus(solved.view.stimulus, folder / names.STIMULUS)
        write_history(solved.outcome.history, folder / names.HISTORY)
        write_response(solved.view, folder / names.RESPONSE)
        _write_pictures(solved.view, solved.plan.settings.output, folder)
        result = result_of(solved)
        write_result(result, folder / names.RESULT)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"the run could not be written: {reason}", repair="out=FOLDER with more room") from error
    return result


def run(settings: Settings, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Make one run and write it into a folder; returns the result."""
    (solved,) = solve([settings], reporter)
    reporter.write()
    for warning in solved.outcome.warnings:
        log.warning("%s", warning)
    if solved.failure:
        log.error("%s", solved.failure)
    return write(solved, folder)
