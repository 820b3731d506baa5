"""The line `ops`: tensor operations per iteration of stacks of any size; they do not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from operations import CONSTRAINTS, OBJECTIVES, OPTIMIZERS, SIZES, per_iteration, small_problems
from our_side import OVERRIDES, Silent, settings_of
from problem import runs

from openretina_cli.config.compose import compose_settings
from openretina_cli.run.model import Workbench
from openretina_cli.run.problem import accelerate

Counts = Mapping[str, list[float]]
"""Operations of one iteration for each of `SIZES`, by what is optimised."""
USUAL = "norm then range"
"""The constraint under which objectives are counted; with `mei`, every other one is counted."""
PUBLISHED = "mei of the published ensemble"


def _published(device: str) -> list[float]:
    bench = Workbench(Silent().download)
    template = compose_settings([*OVERRIDES, f"device={device}"])
    plans = accelerate([bench.plan(settings_of(template, run)) for run in runs(max(SIZES))])
    return [per_iteration([plan.problem for plan in plans[:size]]) for size in SIZES]


def operations(device: str) -> dict[str, list[float]]:
    """Count all of them."""
    found = {PUBLISHED: _published(device)}
    pairs = [(name, USUAL) for name in OBJECTIVES] + [("mei", name) for name in CONSTRAINTS if name != USUAL]
    for objective, constraint in pairs:
        for optimizer in OPTIMIZERS:
            counts = [per_iteration(small_problems(size, objective, optimizer, constraint)) for size in SIZES]
            found[f"{objective}, {constraint}, {optimizer}"] = counts
    return found


def rows(found: Counts) -> Iterator[str]:
    """A row per count: for one run, for more, and how many times as many the most are."""
    yield f"{'operations of one iteration':<56} " + " ".join(f"{f'{size} runs':>9}" for size in SIZES)
    for name, counts in found.items():
        numbers = " ".join(f"{count:9.0f}" for count in counts)
        yield f"{name:<56} {numbers}   times {max(counts) / counts[0]:.2f}"
