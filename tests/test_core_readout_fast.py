"""The fast forms of core + readout models give what the plain forms give, and take bounded memory."""

from __future__ import annotations

import logging
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import CORE_READOUTS
from memory import growth_mb
from torch import Tensor, nn

from openretina_cli.models.core_readout.convolution import (
    Convolution,
    DenseConvolution,
    Padding,
    PairwiseConvolution,
    SequentialConvolution,
)
from openretina_cli.models.core_readout.core import Core, Layer
from openretina_cli.models.core_readout.load import load_core_readout
from openretina_cli.models.core_readout.model import CoreReadoutModel, Member
from openretina_cli.models.core_readout.readout import MaskReadout, PointReadout, Readout
from openretina_cli.models.facts import ModelFacts

with tarfile.open(CORE_READOUTS) as members:
    FILES = sorted(
        name
        for name in members.getnames()
        if name.endswith(".ckpt") and not name.startswith(("single", "hostile", "seeds"))
    )
PLAIN = "gru_recurrent.ckpt"
FOLDED = [*sorted(set(FILES) - {PLAIN}), "seeds"]


def answer(model: nn.Module, stimuli: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The response to stimuli, and the gradient of its weighted sum."""
    seen = stimuli.clone().requires_grad_(True)
    response = model(seen)
    (gradient,) = torch.autograd.grad((response * weights).sum(), seen)
    return response.detach(), gradient


class Part(nn.Module):
    """Some neurons and frames of the plain form."""

    def __init__(self, model: CoreReadoutModel, session: str, neurons: Sequence[int], window: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.session, self.neurons, self.window = model, session, list(neurons), slice(*window)

    def forward(self, stimuli: Tensor) -> Tensor:
        return self.model(stimuli, data_key=self.session)[:, self.window][..., self.neurons]


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def check_part(
    model: CoreReadoutModel, session: str, neurons: Sequence[int], frames: int, window: tuple[int, int]
) -> None:
    """Compare the fast form with the plain one on a stack of three stimuli, and the stack with its rows alone."""
    facts = model.facts
    fast = model.fast_form(session, neurons, frames, window)
    assert fast is not None
    stimuli = torch.randn(3, len(facts.channels), frames, facts.height, facts.width)
    weights = torch.randn(3, window[1] - window[0], len(neurons))
    expected = answer(Part(model, session, neurons, window), stimuli, weights)
    found = answer(fast, stimuli, weights)
    alone = answer(fast, stimuli[1:2], weights[1:2])
    for one, other, single in zip(found, expected, alone, strict=True):
        assert relative(one, other) < 1e-5
        assert relative(one[1:2], single) < 1e-5


@pytest.mark.parametrize("name", FOLDED)
def test_fast_and_plain_form_agree(zoo: Path, name: str) -> None:
    model = load_core_readout(zoo / name)
    facts = model.facts
    frames = facts.lag + 1 + 5 * facts.response_stride if facts.lag else 1
    length = facts.response_frames(frames)
    first, *_, last = facts.sessions
    check_part(model, first, [2, 0], frames, (length // 3, length // 3 + 1))
    check_part(model, last, [1], frames, (0, length))


def test_a_model_that_cannot_be_folded_runs_plain_and_says_so(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load_core_readout(zoo / PLAIN)
    with caplog.at_level(logging.INFO):
        assert model.fast_form("15-10-07", [0], 24, (0, 3)) is None
    assert "No fast form: ConvGru depends on its own past. The plain form is used." in caplog.text


def drawn_convolution(draw: random.Random, kind: int, ins: int, outs: int) -> Convolution:
    """A convolution of a kind, with a random kernel and padding on either side."""
    length, rows, columns = draw.randint(1, 5), draw.randint(1, 5), draw.randint(1, 4)
    sides = [[draw.randint(0, size - 1) for size in (length, rows, columns)] for _ in range(2)]
    padding = Padding(tuple(sides[0]), tuple(sides[1]))  # type: ignore[arg-type]  # three of them
    scale = 1 / (rows * columns * length) ** 0.5  # so that responses are neither large nor nothing
    if kind == 0:
        temporal, spatial = torch.randn(outs, ins, length), torch.randn(outs, ins, rows, columns)
        return PairwiseConvolution(temporal, spatial * scale, padding)
    if kind == 1:
        return DenseConvolution(torch.randn(outs, ins, length, rows, columns) * scale, padding)
    spatial, temporal = torch.randn(outs, ins, 1, rows, columns) * scale, torch.randn(outs, outs, length, 1, 1)
    return SequentialConvolution(spatial, temporal, padding, Padding((1, 0, 1), (0, 1, 1)))


def drawn_readout(draw: random.Random, channels: int, height: int, width: int) -> Readout:
    """Four neurons that look at a few pixels, or at one point."""
    weights, bias = torch.randn(channels, 4), torch.randn(4)
    if draw.random() < 0.5:
        return PointReadout(torch.rand(4, 2) * 2 - 1, weights, bias, draw.random() < 0.5)
    masks = torch.rand(height, width, 4) / (height * width)
    masks[: draw.randint(0, height - 1)] = 0
    return MaskReadout(masks, weights, bias)


def drawn_model(draw: random.Random, members: int) -> CoreReadoutModel:
    """A model of two layers with random geometry, the same for all members."""
    torch.manual_seed(draw.randrange(2**31))
    pools, kinds = [draw.random() < 0.4 for _ in range(2)], [draw.randrange(3) for _ in range(2)]
    state, cut, field = draw.getstate(), draw.randint(0, 2), (20 + draw.randint(0, 3), 18 + draw.randint(0, 3))
    made = []
    for _ in range(members):
        draw.setstate(state)
        layers = [
            Layer(drawn_convolution(draw, kind, ins, outs), torch.rand(outs), torch.randn(outs), nn.ELU(), pool)
            for kind, pool, ins, outs in zip(kinds, pools, (2, 3), (3, 4), strict=True)
        ]
        core = Core(layers, 4, cut=cut)
        time, height, width = core.output((20, *field))
        made.append(Member(core, {"only": drawn_readout(draw, 4, height, width)}))
    facts = ModelFacts("drawn", {"only": 4}, ("a", "b"), *field, lag=20 - time, frame_rate=None, members=members)
    return CoreReadoutModel(made, facts)


@pytest.mark.parametrize("seed", range(20))
def test_fast_and_plain_form_agree_for_any_geometry(seed: int) -> None:
    """Padding on either side, even kernels, odd fields before pooling, neurons at the edge, cut frames, members."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    model = drawn_model(draw, 1 + seed % 2)
    length = model.facts.response_frames(20)
    start = draw.randrange(length)
    check_part(model, "only", draw.sample(range(4), draw.randint(1, 3)), 20, (start, draw.randint(start + 1, length)))


def high_resolution() -> CoreReadoutModel:
    """A model of the published high-resolution shape, with random weights."""
    channels, layers = (2, 16, 16, 16, 16), []
    for index, (length, size) in enumerate(zip((13, 11, 5, 5), (15, 15, 7, 7), strict=True)):
        pair = channels[index + 1], channels[index]
        sides = (0, 5 if index else 0, 5 if index else 0)
        temporal, spatial = torch.randn(*pair, length), torch.randn(*pair, size, size) / size / length
        convolution = PairwiseConvolution(temporal, spatial, Padding(sides, sides))
        layers.append(Layer(convolution, torch.ones(16), torch.zeros(16), nn.ELU(), index % 2 == 0))
    core = Core(layers, 16)
    _, height, width = core.output((50, 72, 64))
    readout = MaskReadout(torch.rand(height, width, 2) / height / width, torch.randn(16, 2), torch.zeros(2))
    facts = ModelFacts("high", {"only": 2}, ("green", "uv"), 72, 64, lag=30, frame_rate=30.0)
    return CoreReadoutModel([Member(core, {"only": readout})], facts)


def answer_at_high_resolution() -> None:
    """Responses and gradients of a stack of 8."""
    fast = high_resolution().fast_form("only", [1], 50, (0, 20))
    assert fast is not None
    answer(fast, torch.randn(8, 2, 50, 72, 64), torch.randn(8, 20, 1))


def test_memory_is_bounded_at_high_resolution() -> None:
    assert growth_mb(answer_at_high_resolution) < 430  # 130 once and 37 for each of 8: a stack of 50 stays below 2 GB
