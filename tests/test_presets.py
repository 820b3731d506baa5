"""Presets of papers: each runs through the real command and leaves what its source describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import result
from torch import Tensor, nn

from openretina_cli.main import main

MODULE = ("model=torch_module", "model.channels=[grey]", "model.height=8", "model.width=6", "neuron=1")


class Image(nn.Module):
    """Two neurons that weigh the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(2, 48, generator=torch.Generator().manual_seed(0)))

    def forward(self, stimulus: Tensor) -> Tensor:
        return torch.nn.functional.softplus(stimulus.flatten(1) @ self.weights.T)


def preset(name: str, out: Path, *words: str) -> Tensor:
    assert main(["optimize", f"experiment={name}", *words, "device=cpu", "output=minimal", f"out={out}"]) == 0
    found: Tensor = torch.load(out / "stimulus.pt", weights_only=True)
    return found


def test_model_in_the_loop_leaves_one_product_per_channel_at_norm_30(tmp_path: Path) -> None:
    stimulus = preset("model_in_the_loop_2026", tmp_path, "model.members=[0]", "stopper.max_iterations=5")
    for channel in stimulus[0]:
        values = np.linalg.svd(channel.flatten(1).double().numpy(), compute_uv=False)
        assert values[1] < 1e-5 * values[0]  # float32
    found = result(tmp_path)
    assert found["stimulus"]["norm"] == pytest.approx(30, rel=0.01)  # the range clips little
    assert found["window_response_frames"] == [10, 20]
    assert found["settings"]["penalty"]["range"]["factor"] == 0.1
    assert found["settings"]["stopper"]["max_iterations"] == 5


def test_vivit_leaves_30_frames_between_grey_ones_in_range(tmp_path: Path) -> None:
    words = (
        *MODULE,
        "model.module._target_=tiny_runs.Tiny",
        "model.stimulus_range=[-1,1]",
        "stopper.max_iterations=20",
    )
    stimulus = preset("vivit_2025", tmp_path, *words)
    assert stimulus.shape == (1, 1, 60, 8, 6)
    moved = stimulus.abs().amax(dim=(0, 1, 3, 4)) > 0
    assert moved.nonzero().flatten().tolist() == list(range(15, 45))
    assert float(stimulus.abs().max()) <= 1
    assert result(tmp_path)["window_response_frames"] == [15, 45]


def test_walker_climbs_by_a_850th_at_first_and_stays_on_an_8_bit_display(tmp_path: Path) -> None:
    levels = ("constraint.display.mean=111", "constraint.display.std=60", "model.stimulus_range=[[null,null]]")
    words = (*MODULE, "model.module._target_=test_presets.Image", "model.static=true", *levels)
    start, first = (
        preset("walker_2019", tmp_path / str(steps), *words, f"stopper.max_iterations={steps}") for steps in (0, 1)
    )
    # the gradient is divided by its mean absolute value; the pixels of the start that the range clips are few
    assert float((first - start).abs().mean()) == pytest.approx(1 / 850, rel=0.1)
    last = preset("walker_2019", tmp_path / "all", *words)
    low, high = -111 / 60, (255 - 111) / 60
    assert low - 1e-5 <= float(last.min())  # float32
    assert float(last.max()) <= high + 1e-5
    assert result(tmp_path / "all")["iterations"] == 1000
