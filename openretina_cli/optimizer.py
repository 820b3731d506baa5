"""Optimizers: any class of `torch.optim` or of the user's, and plain gradient descent in the place of its SGD.

Every optimizer of torch imports the compiler of torch (`torch._dynamo`) when it is made, which takes about 0.8 s and is
then not used: for one small run that is longer than all the rest.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from openretina_cli.checks import spelt
from openretina_cli.errors import SettingError


class Steps(Protocol):
    """What the loop calls of an optimizer: any of `torch.optim`, or `GradientDescent`."""

    def step(self) -> object:
        """Change the tensors by their gradients."""


OptimizerInit = Callable[[list[Tensor]], Steps]
"""Builds an optimizer over a list of tensors."""


class GradientDescent:
    """Steps tensors against their gradients: `x <- x - lr * gradient`, in place.

    Args:
        params: the tensors; one whose gradient is None is passed over.
        lr: step size.
    """

    def __init__(self, params: Sequence[Tensor], lr: float) -> None:
        self._params = list(params)
        self._lr = lr

    @torch.no_grad()
    def step(self) -> None:
        """Make a step."""
        for param in self._params:
            if param.grad is not None:
                param.add_(param.grad, alpha=-self._lr)


ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adamax,
    torch.optim.Adagrad,
    torch.optim.RMSprop,
    torch.optim.Adadelta,
    torch.optim.ASGD,
    torch.optim.Rprop,
)
"""Optimizers of torch that change every number by itself, so that many runs can be one tensor of theirs. Others, such
as LBFGS, Adafactor and Muon, take norms or products over a tensor, and each run is a tensor of its own."""


Schedule = Callable[[torch.optim.Optimizer], "torch.optim.lr_scheduler.LRScheduler"]
"""Builds a learning-rate schedule of an optimizer."""


class Scheduled:
    """An optimizer whose learning rate follows a schedule, one step of the schedule after each of the optimizer.

    Args:
        params: the tensors.
        optimizer: builds the optimizer.
        schedule: builds the schedule.
    """

    def __init__(
        self, params: list[Tensor], optimizer: Callable[..., torch.optim.Optimizer], schedule: Schedule
    ) -> None:
        self.optimizer = optimizer(params)
        self._schedule = schedule(self.optimizer)

    def step(self) -> None:
        """Make a step, and set the rate of the next one."""
        self.optimizer.step()
        self._schedule.step()


def _only_a_sound_rate(arguments: Mapping[str, Any]) -> bool:
    rate = arguments.get("lr")
    return set(arguments) == {"lr"} and isinstance(rate, float) and 0 <= rate <= torch.finfo(torch.float32).max


def _needs(method: Callable[..., object], name: str) -> bool:
    """Whether a method cannot be called without an argument."""
    parameter = inspect.signature(method).parameters.get(name)
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _try(make: OptimizerInit, name: str, setting: str, arguments: Mapping[str, Any]) -> None:
    """Make a step on one number.

    Raises:
        SettingError: the arguments do not fit.
    """
    trial = torch.zeros(1, requires_grad=True)
    trial.grad = torch.zeros(1)
    try:
        make([trial]).step()
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{key}={spelt(value)}" for key, value in arguments.items()) or "no settings"
        raise SettingError(f"{setting}: {name} does not take {given}: {error}") from error


def build_scheduled(
    optimizer: type[torch.optim.Optimizer],
    arguments: Mapping[str, Any],
    schedule: type[torch.optim.lr_scheduler.LRScheduler],
    schedule_arguments: Mapping[str, Any],
) -> OptimizerInit:
    """An optimizer with a learning-rate schedule, as a function of the tensors it changes.

    Raises:
        SettingError: arguments of either do not fit, or one of them cannot work from gradients alone.
    """
    build_optimizer(optimizer, arguments)
    if _needs(schedule.step, "metrics"):
        raise SettingError(
            f"optimizer.schedule._target_={schedule.__name__} measures the objective itself",
            expected="a schedule of the iteration, such as torch.optim.lr_scheduler.CosineAnnealingLR",
        )
    make = partial(
        Scheduled, optimizer=partial(optimizer, **arguments), schedule=partial(schedule, **schedule_arguments)
    )
    _try(make, schedule.__name__, "optimizer.schedule", schedule_arguments)
    return make


def build_optimizer(cls: type[torch.optim.Optimizer], arguments: Mapping[str, Any]) -> OptimizerInit:
    """An optimizer as a function of the tensors it changes.

    Raises:
        SettingError: the arguments do not fit, or the optimizer cannot work from gradients alone.
    """
    if cls is torch.optim.SGD and _only_a_sound_rate(arguments):
        return partial(GradientDescent, **arguments)
    name = f"{cls.__module__.removesuffix('.' + cls.__name__.lower())}.{cls.__name__}"
    if _needs(cls.step, "closure"):
        raise SettingError(f"optimizer._target_={name} measures the objective itself", repair="optimizer=sgd")
    make = partial(cls, **arguments)
    _try(make, name, "optimizer", arguments)
    return make


def shared_by(make: OptimizerInit) -> Hashable | None:
    """Equal for runs that may be rows of one tensor of an optimizer: one of `ELEMENTWISE`, or ours, of equal arguments.

    None for any other, which may take a tensor for a whole.
    """
    if not isinstance(make, partial) or make.args or not isinstance(make.func, type):
        return None
    if make.func is Scheduled:  # all runs of a bundle have made the same number of steps, so one schedule serves all
        shared = shared_by(make.keywords["optimizer"])
        return shared and (shared, repr(make.keywords["schedule"]))
    if make.func not in (GradientDescent, *ELEMENTWISE):
        return None
    return make.func, repr(sorted(make.keywords.items()))


@torch.no_grad()
def keep_rows(steps: Steps, param: Tensor, rows: Tensor) -> None:
    """Take runs out of a tensor `(run, ...)` that a shared optimizer steps, and out of what it remembers of them.

    Args:
        steps: the optimizer.
        param: its tensor.
        rows: the runs that stay.
    """
    optimizer = steps.optimizer if isinstance(steps, Scheduled) else steps
    remembered = optimizer.state[param] if isinstance(optimizer, torch.optim.Optimizer) else {}
    for name, value in remembered.items():
        if isinstance(value, Tensor) and value.shape == param.shape:
            remembered[name] = value.index_select(0, rows)
    param.data = param.index_select(0, rows)
