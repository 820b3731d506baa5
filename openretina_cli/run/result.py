"""What `result.json` says of a run."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from openretina_cli.analysis.description import Scale, describe_colour, describe_parts
from openretina_cli.output.base import Numbers
from openretina_cli.output.chosen import chosen_outputs, files_of, pictures_of
from openretina_cli.run.members import recorded_members
from openretina_cli.run.problem import Plan
from openretina_cli.run.solver import Solved
from openretina_cli.store.identity import SCHEMA
from openretina_cli.store.names import MEMBERS


@cache
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


def _descriptions(solved: Solved) -> dict[str, Any]:
    """Each channel in a few numbers, and the colour of the stimulus."""
    view, plan, channels = solved.view, solved.plan, solved.plan.retina.facts.channels
    seen = None if plan.window is None else plan.seen(view.stimulus.shape[1])
    scale = Scale(view.frame_rate, view.pixel_size, seen)
    return {
        "description": describe_parts(view.parts, channels, scale),
        "colour": describe_colour(view.stimulus, view.parts, scale),
    }


def _clusters(solved: Solved) -> list[dict[str, Any]]:
    """What the objective compares, those that are to respond first."""
    neurons = solved.plan.neurons
    return [
        {"name": cluster.name, "neurons": [neurons[place] for place in cluster.traces]}
        for cluster in solved.view.clusters
    ]


def _cell_types(plan: Plan) -> list[str]:
    """The cell type of each neuron, where the checkpoint has them."""
    facts = plan.retina.facts
    groups = facts.groups.get(plan.session, ())
    return [
        f"{facts.group_names.get(groups[neuron], 'unnamed')} ({groups[neuron]})" for neuron in plan.neurons if groups
    ]


def _quality(plan: Plan) -> list[float | None]:
    """The test performance of each neuron, where the checkpoint has it."""
    known = plan.retina.facts.quality.get(plan.session, ())
    return [known[neuron] for neuron in plan.neurons if known]


def result_of(solved: Solved) -> dict[str, Any]:
    """What `result.json` says of a run."""
    plan, outcome, facts = solved.plan, solved.outcome, solved.plan.retina.facts
    return {
        "schema": SCHEMA,
        "status": "diverged" if outcome.failure else "completed",
        "failure": outcome.failure,
        "title": solved.view.title,
        "objective": {
            "text": repr(plan.problem.objective),
            "initial": outcome.history[0].objective,
            "final": outcome.objective,
            "best": outcome.best,
            "penalty": outcome.history[outcome.kept].penalty,
        },
        "session": plan.session,
        "neurons": list(plan.neurons),
        "traces": list(solved.view.trace_names),
        "cell_types": _cell_types(plan),
        "clusters": _clusters(solved),
        "seed": plan.settings.seed,
        **outcome.record,
        "members": recorded_members(solved.members),
        "iterations": outcome.history[-1].iteration,
        "kept": {"rule": plan.settings.keep, "iteration": outcome.kept},
        "stop_reason": outcome.stop_reason,
        "stimulus": _stimulus_facts(solved),
        **_descriptions(solved),
        "constraints": [repr(constraint) for constraint in plan.problem.constraints],
        "warnings": list(solved.warnings),
        "lag_frames": facts.lag,
        "response_stride_frames": facts.response_stride,
        "frame_rate_hz": facts.frame_rate,
        "pixel_size_um": facts.pixel_size,
        "window_response_frames": None if solved.view.window is None else list(solved.view.window),
        "channels": list(facts.channels),
        "model": {
            "name": facts.name,
            "source": facts.source,
            "sha256": facts.sha256,
            "note": facts.note,
            "stimulus_range": facts.stimulus_range,
        },
        "quality": _quality(plan),
        "quality_metric": facts.quality_metric,
        "device": str(solved.device),
        "wall_time_s": solved.seconds,
        "runs_in_batch": solved.batch,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "files": [
            *files_of(chosen_outputs(plan.settings), Numbers),
            *pictures_of(plan.settings, of_set=bool(solved.view.members)),
            *([MEMBERS] if solved.view.members else []),
        ],
        "settings": plan.settings.values,
        "identity": solved.identity.recorded(),
        "versions": _versions(),
    }
