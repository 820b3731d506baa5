"""What options of the search space cost and remove, on the simulated retina whose true responses are known.

Every cell is optimised on four of the five bundled twins, and its stimulus scored on the fifth and on the truth. Run
`.venv/bin/python tests/benchmarks/search_space.py`; it prints the table of docs/search_space.md after some 15
minutes of one core.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from openretina_cli.config.compose import compose_settings
from openretina_cli.filters import SPACE, share_above
from openretina_cli.models.twin import EnsembleModel, Twin
from openretina_cli.run.model import build_model
from openretina_cli.separable import rank_share
from openretina_cli.simulation.retina import SimulatedRetina
from openretina_cli.validation.cells import optimize_cells, plan_cells
from openretina_cli.validation.stacks import measure, moved_onto, silent

BASE = ["device=cpu", "constraint=[norm_and_range]", "stimulus.norm=30", "stimulus.std=1", "stopper.max_iterations=100"]
"""Norm and start of Höfling et al. 2024, at the example notebook's learning rate and window."""
SETTINGS = {
    "raw": [],
    "gradient=[blur] sigma 0.5": ["gradient=[blur]", "gradient.blur.sigma=0.5"],
    "gradient=[blur] sigma 0.7": ["gradient=[blur]"],
    "gradient=[blur] sigma 1.0": ["gradient=[blur]", "gradient.blur.sigma=1"],
    "stimulus=fourier cutoff 0.25": ["stimulus=fourier"],
    "stimulus=fourier phase_only": ["stimulus=fourier", "stimulus.phase_only=true", "stimulus.cutoff=null"],
    "stimulus=low_rank rank 1": ["stimulus=low_rank"],
    "stimulus=low_rank rank 2": ["stimulus=low_rank", "stimulus.rank=2"],
    "low_rank 2, blur 0.7": ["stimulus=low_rank", "stimulus.rank=2", "gradient=[blur]"],
    "blur 0.7, spatial_lowpass 0.35": ["gradient=[blur]", "constraint=[spatial_lowpass,norm_and_range]"],
    "fourier 0.25, blur 0.7": ["stimulus=fourier", "gradient=[blur]"],
}


@dataclass(frozen=True)
class Found:
    """What became of all cells under one setting.

    Attributes:
        own: response of the four twins.
        held_out: of the fifth.
        true: of the simulated retina.
        high: share of power above 0.25 cycles per pixel.
        rank_one: share of power of the nearest stimulus of rank 1.
        missed_norm: cells whose norm is not 30 to 1 %.
    """

    own: list[float]
    held_out: list[float]
    true: list[float]
    high: list[float]
    rank_one: list[float]
    missed_norm: int


def found_under(
    words: Sequence[str], own: EnsembleModel, other: EnsembleModel, truth: SimulatedRetina, step: int
) -> Found:
    """Optimise every `step`-th cell of both sessions under a setting, and score what comes out."""
    settings = compose_settings([*words])
    plans = plan_cells(settings, own, list(truth.facts.sessions), torch.device("cpu"), False)[::step]
    candidates = optimize_cells(plans, silent)
    stimuli = [candidate.stimulus for candidate in candidates]
    return Found(
        [candidate.predicted for candidate in candidates],
        measure(moved_onto(plans, other), stimuli),
        measure(moved_onto(plans, truth), stimuli),
        [share_above(stimulus[None], 0.25, SPACE) for stimulus in stimuli],
        [rank_share(stimulus[None], 1, False) for stimulus in stimuli],
        sum(abs(float(stimulus.norm()) / 30 - 1) > 0.01 for stimulus in stimuli),
    )


def row(name: str, found: Found, raw: Found) -> str:
    """A line of the table: medians over cells, scores relative to those of the raw optimum."""
    scores = [(found.own, raw.own), (found.held_out, raw.held_out), (found.true, raw.true)]
    ratios = [statistics.median(a / b for a, b in zip(*pair, strict=True)) for pair in scores]
    cells = " | ".join(f"{ratio:.3f}" for ratio in ratios)
    high, rank = statistics.median(found.high), statistics.median(found.rank_one)
    return f"| `{name}` | {cells} | {high:.1%} | {rank:.0%} | {found.missed_norm} |"


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(step: int, names: Sequence[str]) -> None:
    """Print the table of every `step`-th cell."""
    retina = build_model(compose_settings([*BASE]).model, 50, torch.device("cpu"), None)
    members = [cast(Twin, member) for member in cast(EnsembleModel, retina).members]
    own, other = EnsembleModel(members[:4], retina.facts), EnsembleModel(members[4:], retina.facts)
    truth, raw = SimulatedRetina(), None
    say("| setting | four twins | fifth twin | truth | above 0.25 cycles per pixel | rank-1 share | norm missed |")
    say("|---|---|---|---|---|---|---|")
    for name in names or SETTINGS:
        found = found_under([*BASE, *SETTINGS[name]], own, other, truth, step)
        raw = raw or found
        say(row(name, found, raw))
    say(f"{len(raw.own) if raw else 0} cells")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
