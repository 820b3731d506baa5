"""A model is a function of each stimulus alone: whatever users hand over is that, is made that, or is refused by name.

All modules are one well-behaved network, wrapped; 1 channel, 20 frames, 8 x 6 pixels, 4 neurons, lag 4.
"""

from __future__ import annotations

import csv
import functools
import random
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from test_pipeline import Silent
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from openretina_cli import IncreaseObjective, NormAndRange, OptimizationStopper, SliceMeanReducer, optimize_stimulus
from openretina_cli.config.compose import compose_settings
from openretina_cli.config.settings import Settings, read_settings
from openretina_cli.errors import ModelError, OpenRetinaError, SettingError
from openretina_cli.models.axes import AxisReader
from openretina_cli.output.tables import responses
from openretina_cli.run.model import build_model
from openretina_cli.run.result import result_of
from openretina_cli.run.solver import Solved, Solver, solve
from openretina_cli.stimulus.base import random_stimulus
from openretina_cli.text import csv_text

CPU = torch.device("cpu")
FRAMES, STEPS, NORM = 20, 4, 5.0
BASE = (
    *("model=torch_module", "model.height=8", "model.width=6", "model.channels=[grey]", "device=cpu", "neuron=1"),
    *("reducer=mean", "output=minimal", f"stimulus.frames={FRAMES}", f"stopper.max_iterations={STEPS}"),
    "model.stimulus_range=[[null,null]]",
)


# --- modules that users bring


class Plain(nn.Module):
    """The well-behaved one: (batch, channel, time, height, width) to (batch, time - 4, neuron)."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(0.1 * torch.randn(5 * 8 * 6, 4, generator=generator))
        self.bias = nn.Parameter(0.1 * torch.randn(4, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        pieces = x[:, 0].unfold(1, 5, 1).flatten(2)  # five frames of 8 x 6 pixels for each response frame
        return F.softplus(pieces @ self.weight + self.bias)

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
    read = staticmethod(lambda y: y[..., :1].squeeze())


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
        if self.scale is None:  # type: ignore[has-type]
            self.scale = x.detach().std()
        return super().forward(x / self.scale)


class Counter(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # type: ignore[assignment]
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
            self.bias[3] = float("nan")


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


@functools.cache
def plain_settings() -> Settings:
    return compose_settings([*BASE, f"model.module._target_={__name__}.Plain"])


def changed(*overrides: str) -> Settings:
    """The settings of the plain network with some values changed, which is quicker than to compose them."""
    base = plain_settings()
    own = OmegaConf.from_dotlist([override.lstrip("+") for override in overrides])
    return read_settings(OmegaConf.merge(OmegaConf.create(dict(base.values)), own), like=base)


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

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return changed(f"model.module._target_={__name__}.{self.target}", *self.overrides)


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
    equal("one neuron without an axis", "OneNeuron", "objective.neuron=0"),
    equal("one frame without an axis", "LastFrame", score=mean_of(lambda y: y[:, -1, 1])),
    equal("every other frame", "EveryOther", score=mean_of(lambda y: y[:, ::2, 1]), warned="once in 2 stimulus frames"),
    equal("pooled over time", "Pooled", score=mean_of(lambda y: y[:, :15, 1]), warned="once in 3 stimulus frames"),
    equal("pooled, neurons first", "PooledNeuronsFirst", warned="once in 2 stimulus frames"),
    equal(
        "stated rate",
        "EveryOther",
        "model.response_stride=2",
        score=mean_of(lambda y: y[:, ::2, 1]),
        warned="once in 2",
    ),
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
    refused("axes dropped", "Squeezed", "objective.neuron=0", says="one axis should follow the batch"),
    refused("other axes than stated", "Plain", "model.response_axes=[batch,time]", says="not the axes"),
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
    refused("no module", "no_module", says="builtins.str is no Module"),
    refused("no such class method", "Plain.trained", says="has no class method trained"),
    refused("broken neuron", "BrokenNeuron", "objective.neuron=3", says="neuron 3 of session default answers"),
    refused("joint with a broken neuron", "BrokenNeuron", "objective.neuron=[1,3]", says="neuron 3 of session default"),
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
    settings = case.settings
    runs = solve([replace(settings, seed=seed) for seed in (0, 1)], Silent())
    assert {run.batch for run in runs} == {2}
    assert case.score is not None
    for seed, run in enumerate(runs):
        expected = by_hand(case.score, seed).numpy()
        away = np.linalg.norm(run.view.stimulus - expected) / np.linalg.norm(expected)
        assert away < 1e-5, f"seed {seed} is {away:.1e} away"
        warnings = " ".join(result_of(run)["warnings"])
        assert case.warned in warnings
        assert bool(case.warned) == bool(warnings)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_function_of_the_stimulus_alone_is_refused_by_name(case: Case) -> None:
    with pytest.raises(OpenRetinaError) as error:
        solve([case.settings], Silent())
    assert isinstance(error.value, (ModelError, SettingError))
    assert case.refused in str(error.value)
    assert len(str(error.value)) < 500


# --- axes, lags and rates


@pytest.mark.parametrize("order", ["time", "neuron"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("lag", [0, 4, 11])
def test_two_lengths_and_more_tell_axis_stride_and_lag(order: str, stride: int, lag: int) -> None:
    """A module without padding answers L frames with (L - lag - 1) // stride + 1."""
    asked: list[int] = []

    def ask(frames: int) -> tuple[int, ...] | None:
        asked.append(frames)
        time = (frames - lag - 1) // stride + 1
        return None if time < 1 else (1, time, 26) if order == "time" else (1, 26, time)

    pair = (2, *(ask(30) or ())[1:])
    reading = AxisReader(30, ask, pair, static=False, axes=None, stride=None).read()
    assert (reading.batch, reading.time, reading.neuron) == ((0, 1, 2) if order == "time" else (0, 2, 1))
    assert (reading.stride, reading.lag) == (stride, lag)
    assert stride > 1 or len(set(asked)) == 2  # the usual module is asked with two lengths only


@pytest.mark.parametrize("target", ["Plain", "EveryOther", "Pooled"])
def test_a_response_frame_belongs_to_the_last_stimulus_frame_that_it_depends_on(target: str) -> None:
    retina = build_model(Case(target).settings.model, FRAMES, CPU)
    stimulus = torch.randn(1, 1, FRAMES, 8, 6).requires_grad_(True)
    response = retina(stimulus)
    assert response.shape[1] == retina.facts.response_frames(FRAMES)
    for frame in range(response.shape[1]):
        (gradient,) = torch.autograd.grad(response[0, frame, 1], stimulus, retain_graph=True)
        touched = gradient.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten()
        assert int(touched.max()) == retina.facts.lag + frame * retina.facts.response_stride


def test_tables_and_pictures_hold_slow_responses_at_their_stimulus_frames(tmp_path: Path) -> None:
    target = f"model.module._target_={__name__}.Pooled"
    window = ("model.frame_rate=10.0", "reducer=slice_mean", "reducer.start=1", "reducer.length=2")
    (run,) = solve([compose_settings([*BASE, target, *window])], Silent())
    frames = Plain()(torch.from_numpy(run.view.stimulus)[None])[0, :15, 1].detach().unflatten(0, (5, 3)).mean(1)
    (tmp_path / "response.csv").write_text(csv_text(responses(run.view)))
    with (tmp_path / "response.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert run.plan.retina.facts.lag == 6  # five frames for the first response, and two more for the pool
    assert [int(row["stimulus_frame"]) for row in rows] == list(range(6, FRAMES))
    for row in rows:
        shown = int(row["stimulus_frame"])
        assert float(row["neuron_1"]) == pytest.approx(float(frames[(shown - 6) // 3]), rel=1e-5)
        assert float(row["time_s"]) == pytest.approx(shown / 10)
    result = result_of(run)
    assert run.view.stimulus_window == (9, 15)
    assert (result["lag_frames"], result["response_stride_frames"]) == (6, 3)
    assert result["window_response_frames"] == [3, 9]  # rows of response.csv
    assert result["objective"]["final"] == pytest.approx(float(frames[1:3].mean()), rel=1e-5)


# --- one broken neuron


def test_a_sweep_over_all_neurons_skips_the_broken_one_and_names_it() -> None:
    target = f"model.module._target_={__name__}.BrokenNeuron"
    asked = [(neuron, changed(target, f"objective.neuron={neuron}")) for neuron in range(4)]
    results = dict(Solver(Silent()).solve(asked))
    assert all(isinstance(results[neuron], Solved) for neuron in range(3))
    assert isinstance(results[3], ModelError)
    assert "neuron 3" in str(results[3])


def test_an_objective_on_all_neurons_names_the_broken_one() -> None:
    target = f"model.module._target_={__name__}.BrokenNeuron"
    with pytest.raises(ModelError, match="neuron 3 of session default"):
        solve([compose_settings([*BASE, target, "objective=sparse"])], Silent())


# --- random numbers


class Unseeded(Plain):
    """Its weights come from all global generators."""

    def __init__(self) -> None:
        super().__init__()
        self.weight.data = 0.1 * torch.randn(5 * 8 * 6, 4)
        self.bias.data += random.random() + float(np.random.rand())  # noqa: S311  # no secret


def test_equal_commands_give_equal_results_and_leave_the_callers_generators_alone() -> None:
    stimuli = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
        (run,) = solve([Case("Unseeded").settings], Silent())
        stimuli.append(run.view.stimulus)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert np.array_equal(np.random.get_state()[1], before[2])  # type: ignore[index, arg-type]
    assert np.array_equal(*stimuli)


# --- from Python


def optimum(network: nn.Module) -> Tensor:
    stimulus = 0.1 * torch.randn(1, 1, FRAMES, 8, 6, generator=torch.Generator().manual_seed(1))
    objective = IncreaseObjective(network, 1, None, SliceMeanReducer(axis=0, start=2, length=5))
    optimize_stimulus(stimulus, partial(torch.optim.SGD, lr=10.0), objective, OptimizationStopper(STEPS))
    return stimulus


@pytest.mark.parametrize("training", [True, False])
def test_a_module_in_python_is_evaluated_and_left_as_it_was(training: bool) -> None:
    network = Trained().train(training)
    network.drop.eval()
    network.bias.requires_grad_(False)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    flags = [part.training for part in network.modules()]
    wanted = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert torch.equal(optimum(network), optimum(Trained().eval()))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert [part.training for part in network.modules()] == flags
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == wanted
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_reentrant_checkpoint_in_python_leaves_no_gradients_in_the_weights() -> None:
    network = CheckpointedReentrant()
    assert torch.equal(optimum(network), optimum(Plain()))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


# --- devices without float64


class WithoutFloat64(Tensor):
    """A tensor that says it is on a device of Apple's and, as those do, refuses float64."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.cpu:
            return args[0].as_subclass(Tensor)
        if torch.float64 in (kwargs or {}).values():
            raise TypeError("no float64 on this device")
        return super().__torch_function__(func, types, args, kwargs or {})


def test_norm_and_range_needs_no_float64_of_the_device() -> None:
    x = torch.randn(3, 2, 5, 8, 6)
    constraint = NormAndRange([(-0.5, 1.0), (-1.0, None)], norm=8.0)
    projected = constraint.process(x.as_subclass(WithoutFloat64))
    assert torch.equal(projected.as_subclass(Tensor), constraint.process(x))
