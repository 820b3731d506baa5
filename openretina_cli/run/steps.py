"""From the settings of an optimizer, and of its learning-rate schedule, to what the loop steps with."""

from __future__ import annotations

import torch

from openretina_cli.config.class_import import find_class
from openretina_cli.config.target import TARGET, Option
from openretina_cli.errors import SettingError
from openretina_cli.optimizer import OptimizerInit, build_optimizer, build_scheduled

SCHEDULE = "schedule"
"""The setting of an optimizer that holds a learning-rate schedule, with a `_target_` of its own; null means none."""


def build_steps(option: Option) -> OptimizerInit:
    """The optimizer of a run.

    Raises:
        SettingError: a setting of it, or of its schedule, does not fit.
        RunError: a user's class could not be imported.
    """
    cls = find_class(option.target, torch.optim.Optimizer, f"{option.prefix}{TARGET}")
    arguments = dict(option.arguments)
    schedule = arguments.pop(SCHEDULE, None)
    if schedule is None:
        return build_optimizer(cls, arguments)
    if not isinstance(schedule, Option):
        cosine = "{_target_:torch.optim.lr_scheduler.CosineAnnealingLR,T_max:100}"
        raise SettingError(f"{option.prefix}{SCHEDULE} has no {TARGET}", repair=f"+{option.prefix}{SCHEDULE}={cosine}")
    setting = f"{schedule.prefix}{TARGET}"
    rule = find_class(schedule.target, torch.optim.lr_scheduler.LRScheduler, setting)
    return build_scheduled(cls, arguments, rule, schedule.arguments)
