"""The best stimuli of other norms: a run solved again under each norm, from its own stimulus scaled to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from openretina_cli.config.settings import Settings
from openretina_cli.errors import SettingError
from openretina_cli.finding.runs import Stimulus
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.models.retina import Retina
from openretina_cli.run.problem import Plan, accelerate
from openretina_cli.run.stated import plan_again, read_settings_of

FACTORS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Norms in units of the run's own; each costs as much as the run did."""
NORM = "norm"
"""The argument of constraints that holds a norm."""


def _at_norm(settings: Settings, factor: float) -> Settings:
    """Settings whose constraints hold another norm.

    Raises:
        SettingError: none of them holds one.
    """
    rules = dict(settings.constraint)
    for name, option in rules.items():
        if isinstance(option.arguments.get(NORM), (int, float)):
            rules[name] = option.with_arguments(**{NORM: factor * option.arguments[NORM]})
    if rules == dict(settings.constraint) and factor != 1:
        raise SettingError("no constraint of the run holds a norm", expected="a run with constraint=[norm_then_range]")
    return replace(settings, constraint=rules, restarts=1)


def reoptimised(
    retina: Retina, stimulus: Stimulus, device: torch.device, model: Mapping[str, Any] | None
) -> NDArray[np.float32]:
    """The stimuli `(norm, channel, time, height, width)` that the run leads to under each of `FACTORS` times its norm.

    Args:
        retina: the model, on `device`.
        stimulus: the run.
        device: where to compute.
        model: settings in place of the model that the run states, see `read_settings_of`.

    Raises:
        OpenRetinaError: the run's settings cannot be used, or hold no norm.
    """
    folder, values = stimulus.result.path.parent, torch.from_numpy(stimulus.values(retina.facts)).to(device)
    settings = read_settings_of(stimulus.result, model)
    plans: list[Plan] = []
    for factor in FACTORS:
        plan = plan_again(_at_norm(settings, factor), retina, device, folder)
        plans.append(replace(plan, problem=replace(plan.problem, stimulus=factor * values)))
    if plans[0].problem.objective.set_size > 1:
        raise SettingError(f"{folder} is a set of stimuli", expected="runs of one stimulus each")
    outcomes = optimize_stack([plan.problem for plan in accelerate(plans)])
    return np.stack([outcome.stimulus.float().cpu().numpy() for outcome in outcomes])
