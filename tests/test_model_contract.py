"""A model is a function of each stimulus alone: whatever users hand over is that, is made that, or is refused by name.

All modules are one well-behaved network, wrapped; 1 channel, 20 frames, 8 x 6 pixels, 4 neurons, lag 4.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_pipeline import Silent
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from openretina_cli.composer import compose_settings
from openretina_cli.config.settings import Settings
from openretina_cli.errors import ModelError, OpenRetinaError, SettingError
from openretina_cli.optimization.start import random_stimulus
from openretina_cli.result import result_of
from openretina_cli.solver import solve

CPU = torch.device("cpu")
FRAMES, STEPS, NORM = 20, 4, 5.0
BASE = (
    *("model=torch_module", "model.height=8", "model.width=6", "model.channels=[grey]", "device=cpu", "neuron=1"),
    *("reducer=mean", "output=minimal", f"stimulus.frames={FRAMES}", f"stopper.max_iterations={STEPS}"),
)


# --- modules that users bring


class Plain(nn.Module):
    """The well-behaved one: (batch, channel, time, height, width) to (batch, time - 4, neuron)."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.conv = nn.Conv3d(1, 4, (5, 8, 6))
        for weights in self.conv.parameters():
            weights.data = 0.1 * torch.randn(weights.shape, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(self.conv(x))[..., 0, 0].transpose(1, 2)

    @classmethod
    def pretrained(cls) -> Plain:
        return cls()


class Read(Plain):
    """The plain network, whose responses are read in another way."""

    read: Callable[[Tensor], Any]

    def forward(self, x: Tensor) -> Any:
        return type(self).read(super().forward(x))


class NeuronsFirst(Read):
    read = staticmethod(lambda y: y.transpose(1, 2))


class TimeFirst(Read):
    read = staticmethod(lambda y: y.transpose(0, 1))


class OneNeuron(Read):
    read = staticmethod(lambda y: y[..., 1])


class LastFrame(Read):
    read = staticmethod(lambda y: y[:, -1])


class EveryOther(Read):
    read = staticmethod(lambda y: y[:, ::2])


class Pooled(Read):
    read = staticmethod(lambda y: F.avg_pool1d(y.transpose(1, 2), 3).transpose(1, 2))


class PooledNeuronsFirst(Read):
    read = staticmethod(lambda y: F.avg_pool1d(y.transpose(1, 2), 2))


class Upsampled(Read):
    read = staticmethod(lambda y: y.repeat_interleave(3, dim=1))


class WithoutBatch(Read):
    read = staticmethod(lambda y: y[0])


class Squeezed(Read):
    read = staticmethod(lambda y: y.squeeze())


class Pair(Read):
    read = staticmethod(lambda y: (y.mean(), y))


class Keyed(Read):
    read = staticmethod(lambda y: {"responses": y, "loss": y.mean()})


Named = namedtuple("Named", ["loss", "responses"])


class NamedFields(Read):
    read = staticmethod(lambda y: Named(y.mean(), y))


class FixedLength(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != FRAMES:
            raise ValueError(f"{FRAMES} frames are needed")
        return super().forward(x)


class Sessions(Plain):
    def forward(self, x: Tensor, data_key: str | None = None) -> Tensor:
        return super().forward(x) * {None: 3.0, "left": -1.0, "right": 1.0}[data_key]


class HandsOn(nn.Module):
    """Hands its arguments on, as many wrappers do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Sessions()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class HandsPositionsOn(HandsOn):
    def forward(self, *args: Any) -> Any:
        return self.inner(*args)


class Swallows(HandsOn):
    def forward(self, x: Tensor, **kwargs: Any) -> Any:
        return self.inner(x)


class HandsOnToNone(HandsOn):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Plain()  # type: ignore[assignment]


def _decorated(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return call


class Decorated(Sessions):
    forward = _decorated(Sessions.forward)  # type: ignore[assignment]


class DecoratedWithItsName(Sessions):
    forward = functools.wraps(Sessions.forward)(_decorated(Sessions.forward))


class MouseId(Sessions):
    def forward(self, x: Tensor, mouse_id: str) -> Tensor:  # type: ignore[override]
        return super().forward(x, mouse_id)


class MouseByPosition(Sessions):
    def forward(self, x: Tensor, scale: float = 1.0, mouse_id: str = "left", /) -> Tensor:  # type: ignore[override]
        return scale * super().forward(x, mouse_id)


class Readouts(Sessions):
    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.ModuleDict({"left": nn.Identity(), "right": nn.Identity()})


def parallel() -> nn.Module:
    return nn.DataParallel(Readouts())


def compiled() -> nn.Module:
    return torch.compile(Sessions(), backend="eager")  # type: ignore[return-value]


class Double(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.double()


class Brain(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.bfloat16()


class Half(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.half()


class Dropout(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.5))


class NumpyNoise(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + float(np.random.rand())


class Echo(Plain):
    """Carries its last response to the next call."""

    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.last = y if self.last is None or self.last.shape != y.shape else 0.5 * self.last + y
        return self.last


class FirstCall(Plain):
    """Measures every stimulus by the first one it ever saw."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = x.detach().std()
        return super().forward(x / self.scale)


class Counter(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


ELSEWHERE = [1.0]


class StateElsewhere(Plain):
    def forward(self, x: Tensor) -> Tensor:
        ELSEWHERE[0] += 1.0
        return super().forward(x) * ELSEWHERE[0]


class InPlace(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x -= 0.1
        return super().forward(x)


class BatchStatistics(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(1, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))


class AcrossRows(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.5 * x.mean(0, keepdim=True))


class OneAtATime(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(1, 1, FRAMES, 8, 6) if x.shape[2] == FRAMES else x.reshape(1, *x.shape[1:]))


class Trained(Plain):
    """Dropout and batch norm as a training loop leaves them: in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm3d(1), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.drop(self.norm(x)))


class Behaviour(Plain):
    """Takes behaviour per stimulus, `(batch, 3)`."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Linear(3, 4)
        nn.init.constant_(self.gain.weight, 0.1)
        nn.init.constant_(self.gain.bias, 0.0)

    def forward(self, x: Tensor, behavior: Tensor, scale: float = 1.0) -> Tensor:
        return super().forward(x) * scale * (1 + self.gain(behavior))[:, None]


class BehaviourOverTime(Behaviour):
    """Takes behaviour over time, `(batch, 3, time)`."""

    def forward(self, x: Tensor, behavior: Tensor, scale: float = 1.0) -> Tensor:
        frames = F.avg_pool1d(behavior, 5, stride=1).transpose(1, 2)
        return Plain.forward(self, x) * scale * (1 + self.gain(frames))


class Checkpointed(Plain):
    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)  # type: ignore[no-any-return]


class CheckpointedReentrant(Checkpointed):
    reentrant = True


class BrokenNeuron(Plain):
    """Neuron 3 was never fitted."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.conv.bias[3] = float("nan")  # type: ignore[index]


class CoreReadout(nn.Module):
    def __init__(self, core: nn.Module, heads: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.core, self.heads = core, nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        return nn.Sequential(self.core, *self.heads)(x)  # type: ignore[no-any-return]


def factory() -> nn.Module:
    return Plain()


def no_module() -> str:
    return "Plain"


# --- what each must lead to


@dataclass(frozen=True)
class Case:
    """A wrapping of the plain network.

    Attributes:
        target: name in this file.
        overrides: on the command line.
        score: the plain network's score of a stimulus `(1, 1, time, height, width)` that must be optimised.
        refused: what the refusal says, where it is refused.
        warned: what the result's warnings say.
    """

    target: str
    overrides: tuple[str, ...] = ()
    score: Callable[[Tensor], Tensor] | None = None
    refused: str = ""
    warned: str = ""

    def settings(self, *overrides: str) -> Settings:
        target = f"model.module._target_={__name__}.{self.target}"
        return compose_settings([*BASE, target, *self.overrides, *overrides])


def mean_of(read: Callable[[Tensor], Tensor] = lambda y: y[..., 1], module: nn.Module | None = None) -> Any:
    """The mean of what is read of the plain network's responses; the second neuron's by default."""
    network = (module or Plain()).eval().requires_grad_(False)
    return lambda x: read(network(x)).mean()


def equal(name: str, target: str, *overrides: str, score: Any = None, warned: str = "") -> Any:
    return pytest.param(Case(target, overrides, score or mean_of(), warned=warned), id=name)


def refused(name: str, target: str, *overrides: str, says: str) -> Any:
    return pytest.param(Case(target, overrides, refused=says), id=name)


BOTH = ("model.sessions=[left,right]", "session=right")


def in_dtype(dtype: torch.dtype) -> Any:
    network = Plain().to(dtype).requires_grad_(False)
    return lambda x: network(x.to(dtype)).float()[..., 1].mean()


EQUAL = [
    equal("plain", "Plain"),
    equal("neurons first", "NeuronsFirst"),
    equal("time first", "TimeFirst"),
    equal("stated axes", "NeuronsFirst", "model.response_axes=[batch,neuron,time]"),
    equal("one neuron without an axis", "OneNeuron", "neuron=0"),
    equal("one frame without an axis", "LastFrame", score=mean_of(lambda y: y[:, -1, 1])),
    equal("every other frame", "EveryOther", score=mean_of(lambda y: y[:, ::2, 1]), warned="once in 2 stimulus frames"),
    equal("pooled over time", "Pooled", score=mean_of(lambda y: y[:, :15, 1]), warned="once in 3 stimulus frames"),
    equal("pooled, neurons first", "PooledNeuronsFirst", warned="once in 2 stimulus frames"),
    equal("stated rate", "EveryOther", "model.response_stride=2", score=mean_of(lambda y: y[:, ::2, 1])),
    equal("one length with stated axes", "FixedLength", "model.response_axes=[batch,time,neuron]"),
    equal("sessions", "Sessions", *BOTH),
    equal("wrapper", "HandsOn", *BOTH),
    equal("wrapper of positions", "HandsPositionsOn", *BOTH),
    equal("data parallel", "parallel", "session=right"),
    equal("compiled", "compiled", *BOTH),
    equal("decorated", "Decorated", *BOTH),
    equal("decorated with its name", "DecoratedWithItsName", *BOTH),
    equal("another session argument", "MouseId", *BOTH, "model.session_argument=mouse_id"),
    equal("session by position", "MouseByPosition", *BOTH, "model.session_argument=mouse_id"),
    equal("sessions of the readout", "Readouts", "session=right"),
    equal("float64", "Double", score=in_dtype(torch.float64)),
    equal("bfloat16", "Brain", score=in_dtype(torch.bfloat16), warned="bfloat16"),
    equal("float16", "Half", score=in_dtype(torch.float16), warned="float16"),
    equal("state in an attribute", "Echo", warned="state"),
    equal("state of the first call", "FirstCall", score=lambda x: mean_of()(x / x.detach().std()), warned="state"),
    equal("state in a buffer", "Counter", warned="state"),
    equal("input changed in place", "InPlace", score=lambda x: mean_of()(x - 0.1), warned="in place"),
    equal("batch statistics", "BatchStatistics", score=mean_of(module=BatchStatistics()), warned="run alone"),
    equal("rows that mix", "AcrossRows", score=lambda x: mean_of()(1.5 * x), warned="run alone"),
    equal("one at a time", "OneAtATime", warned="run alone"),
    equal("in train mode", "Trained", score=mean_of(module=Trained())),
    equal("one of several outputs", "Pair", "model.output=1"),
    equal("output by key", "Keyed", "model.output=responses"),
    equal("output by field", "NamedFields", "model.output=responses"),
    equal("extra input", "Behaviour", "+model.inputs.behavior=[1,2,3]", score=mean_of(lambda y: 1.6 * y[..., 1])),
    equal(
        "extra input over time",
        "BehaviourOverTime",
        *("+model.inputs.behavior=[1,2,3]", "+model.inputs.scale=0.5"),
        score=mean_of(lambda y: 0.8 * y[..., 1]),
    ),
    equal("checkpointed", "Checkpointed"),
    equal("checkpointed, reentrant", "CheckpointedReentrant"),
    equal("factory", "factory"),
    equal("class method", "Plain.pretrained"),
    equal("nested target", "CoreReadout", f"+model.module.core={{_target_: {__name__}.Plain}}"),
    equal(
        "list of targets",
        "CoreReadout",
        f"+model.module.core={{_target_: {__name__}.Plain}}",
        "+model.module.heads=[{_target_: torch.nn.Identity},"
        "{_target_: torch.nn.Sequential,_args_: [{_target_: torch.nn.ReLU}]}]",
    ),
    equal("beside a broken neuron", "BrokenNeuron"),
]
REFUSED = [
    refused("one length", "FixedLength", says="takes no other length"),
    refused("faster than the stimulus", "Upsampled", says="longer than the stimulus"),
    refused("without batch", "WithoutBatch", says="one axis should follow the batch"),
    refused("axes dropped", "Squeezed", says="one axis should follow the batch")
    if False
    else refused("other axes than stated", "Plain", "model.response_axes=[batch,time]", says="not the axes"),
    refused("another rate than stated", "EveryOther", "model.response_stride=3", says="follows no stride"),
    refused("sessions without an argument", "Plain", *BOTH, says="model.sessions=[left,right] cannot reach"),
    refused("sessions under another name", "MouseId", *BOTH, says="forward has no data_key"),
    refused("sessions that are swallowed", "Swallows", *BOTH, says="model.sessions=[left,right] cannot reach"),
    refused("one session that is swallowed", "Swallows", "model.sessions=[right]", says="cannot reach"),
    refused("sessions that nobody takes", "HandsOnToNone", *BOTH, says="model.sessions cannot reach"),
    refused("dropout", "Dropout", says="draws random numbers"),
    refused("noise of numpy", "NumpyNoise", says="draws random numbers"),
    refused("state out of reach", "StateElsewhere", says="carries a state"),
    refused("several outputs", "Pair", says="a tuple of 0: a tensor (), 1: a tensor (1, 16, 4)"),
    refused("absent output", "Keyed", "model.output=response", says="model.output=response"),
    refused("output of a tensor", "Plain", "model.output=0", says="answers with a tensor"),
    refused("lacks an input", "Behaviour", says="also takes behavior"),
    refused("unknown input", "Plain", "+model.inputs.pupil=[1]", says="model.inputs.pupil cannot reach"),
    refused("input of another size", "Behaviour", "+model.inputs.behavior=[1,2]", says="RuntimeError"),
    refused("no module", "no_module", says="returned a str"),
    refused("no such class method", "Plain.trained", says="has no trained"),
    refused("broken neuron", "BrokenNeuron", "neuron=3", says="neuron 3 of session default answers"),
    refused("joint with a broken neuron", "BrokenNeuron", "neuron=[1,3]", says="neuron 3 of session default"),
    refused("all with a broken neuron", "BrokenNeuron", "objective=sparse", says="neuron 3 of session default"),
]


def by_hand(score: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """Gradient ascent with steps of 10 on the sphere of norm 5, in plain torch."""
    x = random_stimulus((1, FRAMES, 8, 6), seed, 0.0, 0.1)[None]
    x = x * (NORM / x.norm())
    for _ in range(STEPS):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(x), x)
        x = x.detach() + 10 * gradient
        x = x * (NORM / x.norm())
    return x[0]


def test_the_table_wraps_the_network_in_more_than_25_ways() -> None:
    assert len(EQUAL) >= 25


@pytest.mark.parametrize("case", EQUAL)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_wrapped_module_has_the_plain_modules_optimum(case: Case) -> None:
    settings = case.settings()
    runs = solve([replace(settings, seed=seed) for seed in (0, 1)], Silent())
    assert {run.batch for run in runs} == {2}
    assert case.score is not None
    for seed, run in enumerate(runs):
        expected = by_hand(case.score, seed).numpy()
        away = np.linalg.norm(run.view.stimulus - expected) / np.linalg.norm(expected)
        assert away < 1e-5, f"seed {seed} is {away:.1e} away"
        warnings = " ".join(result_of(run)["warnings"])
        assert case.warned in warnings
        assert bool(case.warned) == bool(warnings) or "stated" in case.target or settings.model.response_stride


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_function_of_the_stimulus_alone_is_refused_by_name(case: Case) -> None:
    with pytest.raises(OpenRetinaError) as error:
        solve([case.settings()], Silent())
    assert isinstance(error.value, (ModelError, SettingError))
    assert case.refused in str(error.value)
    assert len(str(error.value)) < 500
