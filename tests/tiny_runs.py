"""Runs of a module of 8x6 pixels and one iteration, in this process: what comes before and after is under test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openretina_cli.main import main

TINY = (
    *("model=torch_module", "model.module._target_=tiny_runs.Tiny", "model.channels=[grey]"),
    *("model.height=8", "model.width=6", "stimulus.frames=8", "reducer=mean", "stopper.max_iterations=1"),
    *(
        "model.stimulus_range=[[null,null]]",
        "device=cpu",
    ),  # without limits, so that no warning says that none are known
)


class Tiny(nn.Module):
    """Three neurons that see the mean of a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([1.0, -1.0, 2.0]))

    def forward(self, stimulus: Tensor) -> Tensor:
        return torch.nn.functional.softplus(stimulus.mean((1, 3, 4))[..., None] * self.weights)


def optimize(out: Path, *words: str) -> int:
    """The exit code of a run, or of a sweep, without pictures unless they are asked for."""
    pictures = () if any(word.startswith("output") for word in words) else ("output=minimal",)
    neuron = () if any("neuron=" in word for word in words) else ("neuron=1",)
    return main(["optimize", *TINY, *neuron, *pictures, *words, f"out={out}"])


def result(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
