"""The fast form answers as the plain form does."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from openretina_cli.errors import ModelError, SettingError
from openretina_cli.models import fast_hidden
from openretina_cli.models.architecture import NONLINEARITIES, Architecture
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.fast_first import FirstLayer
from openretina_cli.models.fast_form import FastForm
from openretina_cli.models.twin import EnsembleModel, Twin

# Both forms round sums of up to 2000 products to float32 (6e-8); measured, they differ from the same sums in float64
# by up to 1e-6 of the largest value, the plain form more than the fast one. In float64 only rounding at 1e-16 is left.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}

PUBLISHED = Architecture(
    hidden_channels=(16, 16),
    temporal_kernel_size=(21, 11),
    spatial_kernel_size=(11, 5),
    layers=2,
    core_bias=True,
    gaussian_mean_scale=6.0,
    gaussian_var_scale=4.0,
    readout_scale=True,
    readout_positive=True,
)
ONE_LAYER = Architecture(hidden_channels=(3,), temporal_kernel_size=(5,), spatial_kernel_size=(3,))
TWO_LAYERS = Architecture(
    hidden_channels=(3, 4), temporal_kernel_size=(5, 4), spatial_kernel_size=(4, 3), layers=2, core_bias=True
)
THREE_LAYERS = Architecture(
    hidden_channels=(2, 3, 4), temporal_kernel_size=(3, 4, 6), spatial_kernel_size=(5, 2, 3), layers=3
)


@dataclass(frozen=True)
class Case:
    """A model, and what is asked of it."""

    architecture: Architecture
    members: int = 2
    shape: tuple[int, int, int] = (2, 9, 7)
    sessions: dict[str, int] = field(default_factory=lambda: {"left": 4, "right": 3})
    neurons: Sequence[int] | None = (2, 0)
    frames: int = 20
    window: tuple[int, int] | None = (2, 5)
    batch: int = 2


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """On toy models, threads only wait for each other; on busy cores, for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def randomise(twin: Twin) -> None:
    """Give a twin weights and statistics under which every part of it matters."""
    scales = {"log_speed": 0.2, "weights": 0.2, "weight_spatial": 0.2, "features": 0.5, "bias": 0.3, "mask": 0.2}
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            scale = next((scale for part, scale in scales.items() if part in name), None)
            if scale is not None:
                parameter.normal_(0, scale)
            elif name.endswith("scale"):
                parameter.uniform_(0.5, 2)
        for name, buffer in twin.named_buffers():
            if "running_mean" in name:
                buffer.normal_(0, 0.3)
            elif "running_var" in name:
                buffer.uniform_(0.2, 2)
    for readout in twin.readout.values():
        readout.project()


def build(case: Case, seed: int = 0) -> EnsembleModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        twins = [Twin(case.architecture, case.shape, case.sessions) for _ in range(case.members)]
        for twin in twins:
            randomise(twin)
    channels, height, width = case.shape
    names = tuple(f"channel {index}" for index in range(channels))
    return EnsembleModel(twins, ModelFacts("toy", case.sessions, names, height, width, case.architecture.lag, 30.0))


def stimuli(case: Case, dtype: torch.dtype = torch.float32) -> Tensor:
    channels, height, width = case.shape
    shape = (case.batch, channels, case.frames, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype).requires_grad_(True)


def fast_of(retina: EnsembleModel, case: Case, session: str | None = None) -> FastForm:
    fast = retina.fast_form(session or next(iter(case.sessions)), case.neurons, case.frames, case.window)
    assert fast is not None
    return fast  # type: ignore[return-value]


def plain_of(retina: EnsembleModel, case: Case, session: str | None = None) -> Callable[[Tensor], Tensor]:
    key = session or next(iter(case.sessions))
    start, stop = case.window or (0, case.frames - case.architecture.lag)
    neurons = list(range(case.sessions[key]) if case.neurons is None else case.neurons)
    return lambda stimulus: retina(stimulus, data_key=key)[:, start:stop, neurons]


def response_and_gradient(model: Callable[[Tensor], Tensor], stimulus: Tensor) -> tuple[Tensor, Tensor]:
    """The response, and the gradient of a weighted sum of all of it, so that no frame or neuron is like another."""
    response = model(stimulus)
    weights = torch.linspace(0.5, 1.5, response.numel(), dtype=response.dtype).view(response.shape)
    return response, torch.autograd.grad((response * weights).sum(), stimulus)[0]


def assert_same(case: Case, dtype: torch.dtype, session: str | None = None) -> None:
    retina = build(case).to(dtype)
    stimulus = stimuli(case, dtype)
    found = response_and_gradient(fast_of(retina, case, session), stimulus)
    expected = response_and_gradient(plain_of(retina, case, session), stimulus)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == dtype
        assert other.abs().max() > 0
        assert (one - other).abs().max() <= TOLERANCE[dtype] * other.abs().max()


CASES = {
    "published": Case(PUBLISHED, 5, (2, 18, 16), {"s": 6, "t": 2}, (3,), 50, (10, 20), batch=1),
    "published, whole response of all neurons": Case(PUBLISHED, 2, (2, 18, 16), {"s": 6}, None, 40, None, batch=1),
    "one layer": Case(ONE_LAYER),
    "one member": Case(TWO_LAYERS, members=1),
    "one channel": Case(TWO_LAYERS, shape=(1, 9, 7)),
    "one member, channel, neuron and frame": Case(ONE_LAYER, 1, (1, 3, 3), {"s": 1}, (0,), 5, (0, 1), 1),
    "three channels, wide field": Case(TWO_LAYERS, shape=(3, 6, 14)),
    "three layers": Case(THREE_LAYERS),
    "even kernels": Case(
        replace(THREE_LAYERS, spatial_kernel_size=(4, 2, 6), temporal_kernel_size=(4, 6, 8)), frames=25
    ),
    "input padding": Case(replace(THREE_LAYERS, input_padding=True)),
    "input padding, even kernel": Case(replace(TWO_LAYERS, input_padding=True)),
    "no hidden padding": Case(replace(THREE_LAYERS, hidden_padding=False), shape=(2, 9, 12)),
    "kernels of one pixel": Case(replace(TWO_LAYERS, spatial_kernel_size=(1, 1))),
    "readout of the first of three layers": Case(replace(THREE_LAYERS, stack=0)),
    "readout of the second of three layers": Case(replace(THREE_LAYERS, stack=-2, core_bias=True)),
    "gains, positive features": Case(replace(TWO_LAYERS, readout_scale=True, readout_positive=True)),
    "scaled masks": Case(replace(ONE_LAYER, gaussian_mean_scale=3.0, gaussian_var_scale=2.0)),
    "window at the start": Case(TWO_LAYERS, window=(0, 3)),
    "window at the end": Case(TWO_LAYERS, window=(10, 13)),
    "window of one frame": Case(TWO_LAYERS, window=(6, 7)),
    "whole response": Case(TWO_LAYERS, window=None),
    "all neurons": Case(TWO_LAYERS, neurons=None),
    "a neuron twice": Case(TWO_LAYERS, neurons=(1, 1, 3)),
} | {name: Case(replace(TWO_LAYERS, nonlinearity=name), window=(1, 9)) for name in NONLINEARITIES}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_response_and_gradient_are_those_of_the_plain_form(case: Case, dtype: torch.dtype) -> None:
    assert_same(case, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("worth", [0.0, math.inf], ids=["kernels", "coefficients"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_ways_to_convolve_agree(
    case: Case, worth: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_hidden, "WORTH", worth)
    assert_same(case, dtype)


def test_the_published_ensemble_is_convolved_as_coefficients() -> None:
    fast = fast_of(build(CASES["published"]), CASES["published"])
    # 10 x 8 coefficients
    assert fast.layers[1].get_submodule("space").matrices.analysis.shape[1] == 80


def test_every_session_has_its_own_speed_and_readout() -> None:
    case = Case(TWO_LAYERS)
    retina = build(case)
    for session in case.sessions:
        assert_same(case, torch.float64, session)
    left, right = (fast_of(retina, case, session).layers[0] for session in case.sessions)
    assert isinstance(left, FirstLayer)
    assert isinstance(right, FirstLayer)
    assert not torch.allclose(left.constants.temporal[0], right.constants.temporal[0])


small = st.integers(1, 3)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    layers = draw(small)
    sizes = draw(st.lists(st.integers(1, 4), min_size=layers, max_size=layers))
    lengths = draw(st.lists(st.integers(3, 7), min_size=layers, max_size=layers))
    architecture = Architecture(
        hidden_channels=tuple(draw(st.lists(small, min_size=layers, max_size=layers))),
        temporal_kernel_size=tuple(lengths),
        spatial_kernel_size=tuple(sizes),
        layers=layers,
        stack=draw(st.integers(-layers, layers - 1)),
        core_bias=draw(st.booleans()),
        input_padding=draw(st.booleans()),
        hidden_padding=draw(st.booleans()),
        nonlinearity=draw(st.sampled_from(["ELU", "Tanh", "Softplus", "Identity"])),
        readout_scale=draw(st.booleans()),
    )
    margin = sum(sizes) - len(sizes)
    response = draw(st.integers(1, 6))
    start = draw(st.integers(0, response - 1))
    return Case(
        architecture,
        members=draw(small),
        shape=(draw(small), margin + draw(small), margin + draw(small)),
        sessions={"s": 3},
        neurons=draw(st.none() | st.lists(st.integers(0, 2), min_size=1, max_size=4)),
        frames=architecture.lag + response,
        window=draw(st.none() | st.just((start, draw(st.integers(start + 1, response))))),
        batch=draw(small),
    )


@settings(max_examples=60)
@given(case=cases())
def test_any_architecture_can_be_folded(case: Case) -> None:
    # in float64, since a random nonlinear net can amplify float32 rounding at will
    assert_same(case, torch.float64)


def test_frames_that_do_not_reach_the_window_are_not_seen() -> None:
    case = Case(PUBLISHED, 1, (2, 18, 16), {"s": 2}, (0,), 50, (10, 20), 1)
    fast = fast_of(build(case), case)
    stimulus = stimuli(case)
    response, gradient = response_and_gradient(fast, stimulus)
    frames = gradient.abs().amax(dim=(0, 1, 3, 4))
    assert bool((frames[:10] == 0).all())
    assert bool((frames[10:] > 0).all())
    with torch.no_grad():
        stimulus[:, :, :10] = torch.nan
    assert torch.equal(fast(stimulus), response)


def test_rows_of_a_batch_do_not_touch() -> None:
    case = Case(TWO_LAYERS, 3, (2, 18, 16), batch=5)
    fast = fast_of(build(case).double(), case)
    stimulus = stimuli(case, torch.float64)
    together = fast(stimulus)
    gradient = torch.autograd.grad(together.sum(), stimulus)[0]
    for row in range(case.batch):
        alone = stimulus[row : row + 1].detach().requires_grad_(True)
        response = fast(alone)
        torch.testing.assert_close(response[0], together[row], rtol=1e-12, atol=0)
        torch.testing.assert_close(
            torch.autograd.grad(response.sum(), alone)[0][0], gradient[row], rtol=1e-9, atol=1e-14
        )


def test_stimuli_need_not_be_contiguous_or_differentiated() -> None:
    case = Case(TWO_LAYERS)
    fast = fast_of(build(case), case)
    stimulus = stimuli(case).detach()
    strided = stimulus.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    assert not fast(stimulus).requires_grad
    torch.testing.assert_close(fast(strided), fast(stimulus))


def test_there_are_no_weights_to_gather_gradients() -> None:
    case = Case(TWO_LAYERS)
    retina = build(case)
    fast = fast_of(retina, case)
    fast(stimuli(case)).sum().backward()
    assert not list(fast.parameters())
    assert all(weight.grad is None for weight in [*retina.parameters(), *fast.buffers()])
    assert not any(weight.requires_grad for weight in fast.buffers())


def test_the_retina_may_change_afterwards() -> None:
    case = Case(TWO_LAYERS)
    retina = build(case)
    fast = fast_of(retina, case)
    stimulus = stimuli(case).detach()
    before = fast(stimulus)
    for parameter in retina.parameters():
        parameter.data.zero_()
    assert torch.equal(fast(stimulus), before)


def _thaw(retina: EnsembleModel) -> None:
    retina.train()


def _other_layer(retina: EnsembleModel) -> None:
    retina.members[0].core.features.layer1.add_module("dropout", nn.Dropout())


def _other_nonlinearity(retina: EnsembleModel) -> None:
    retina.members[1].core.features.layer1.nonlin = nn.Hardswish()


def _other_norm(retina: EnsembleModel) -> None:
    retina.members[1].core.features.layer0.norm = nn.GroupNorm(1, 3)  # type: ignore[method-assign]


def _other_convolution(retina: EnsembleModel) -> None:
    retina.members[1].core.features.layer0.conv = nn.Conv3d(2, 3, 3)


def _other_readout(retina: EnsembleModel) -> None:
    retina.members[1].readout["left"] = nn.Linear(3, 3)  # type: ignore[assignment]


def _other_core(retina: EnsembleModel) -> None:
    retina.members[1].core = nn.Identity()


def _other_member(retina: EnsembleModel) -> None:
    retina.members.append(build(Case(ONE_LAYER)).members[0])


def _other_member_nonlinearity(retina: EnsembleModel) -> None:
    retina.members[1].core.features.layer1.nonlin = nn.ELU(alpha=0.5)


STRANGERS = {
    "no frozen batch norm": _thaw,
    "Dropout is no published nonlinearity|no published layer": _other_layer,
    "Hardswish": _other_nonlinearity,
    "GroupNorm": _other_norm,
    "Conv3d": _other_convolution,
    "Linear": _other_readout,
    "no published core": _other_core,
    "members differ": _other_member,
    "differ in architecture": _other_member_nonlinearity,
}


@pytest.mark.parametrize(("reason", "change"), STRANGERS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_model_that_it_does_not_know_has_no_fast_form(
    reason: str, change: Callable[[EnsembleModel], None], caplog: pytest.LogCaptureFixture
) -> None:
    case = Case(TWO_LAYERS)
    retina = build(case)
    change(retina)
    with caplog.at_level(logging.INFO, logger="openretina_cli.models.retina"):
        assert retina.fast_form("left", case.neurons, case.frames, case.window) is None
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    message = record.getMessage()
    assert any(part in message for part in reason.split("|"))
    assert "\n" not in message


def test_a_subclass_of_the_ensemble_has_no_fast_form() -> None:
    class Doubled(EnsembleModel):
        def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
            return 2 * super().forward(stimulus, data_key)

    case = Case(ONE_LAYER)
    plain = build(case)
    assert Doubled([*plain.members], plain.facts).fast_form("left", None, 20, None) is None


def test_wrong_questions_are_refused() -> None:
    case = Case(TWO_LAYERS)
    retina = build(case)
    with pytest.raises(ModelError, match="no session 'up'"):
        retina.fast_form("up", None, 20, None)
    for window in [(3, 3), (-1, 2), (5, 14)]:
        with pytest.raises(SettingError, match="outside the response, which has 13 frames"):
            retina.fast_form("left", None, 20, window)
    with pytest.raises(SettingError, match="has 0 frames"):
        retina.fast_form("left", None, 7, None)
    with pytest.raises(ModelError, match=r"has 21 frames; expected 20"):
        fast_of(retina, case)(torch.zeros(1, 2, 21, 9, 7))
