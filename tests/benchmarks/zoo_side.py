"""One MEI on a core + readout checkpoint, by either side: `zoo_side.py ours|reference FILE START FOUND ITERATIONS`.

Prints the seconds of all iterations and the largest resident memory in MB (10^6 bytes) as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from clock import matrix_product, set_threads, stopwatch
from torch import Tensor
from zoo_shapes import LEARNING_RATE, NEURON, NORM, RANGE, SESSION, WINDOW_LENGTH, WINDOW_START

ADAPT = partial(torch.optim.SGD, lr=LEARNING_RATE)


def reference(file: Path, start: Tensor, iterations: int) -> tuple[Tensor, float]:
    """The package's own loop on its own model."""
    from openretina.insilico.stimulus_optimization.objective import IncreaseObjective, SliceMeanReducer
    from openretina.insilico.stimulus_optimization.optimization_stopper import OptimizationStopper
    from openretina.insilico.stimulus_optimization.optimizer import optimize_stimulus
    from openretina.insilico.stimulus_optimization.regularizer import ChangeNormJointlyClipRangeSeparately
    from openretina.models.core_readout import ExampleCoreReadout

    model = ExampleCoreReadout.load_from_checkpoint(file, map_location="cpu", weights_only=False).eval()
    reducer = SliceMeanReducer(axis=0, start=WINDOW_START, length=WINDOW_LENGTH)
    objective = IncreaseObjective(model, neuron_indices=NEURON, data_key=SESSION, response_reducer=reducer)
    rule = ChangeNormJointlyClipRangeSeparately(min_max_values=[RANGE] * start.shape[1], norm=NORM)
    stimulus = start.clone().requires_grad_(True)
    stopper = OptimizationStopper(max_iterations=iterations)
    with stopwatch("cpu") as watch:
        optimize_stimulus(
            stimulus, ADAPT, objective, stopper, stimulus_postprocessor=rule, stimulus_regularization_loss=None
        )
    return stimulus.detach(), watch.seconds


def ours(file: Path, start: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Settings, fast form and loop, as the command has them; the time is that of the loop with the fast form made."""
    from openretina_cli.config.compose import compose_settings
    from openretina_cli.loop.loop import optimize_stack
    from openretina_cli.run.acceleration import accelerate
    from openretina_cli.run.model import Workbench

    place = file.with_suffix(".start.pt")
    torch.save(start, place)
    overrides = [
        *("model=core_readout", f"model.path={file}", f"model.stimulus_range=[{list(RANGE)}]".replace(" ", "")),
        *(f"session={SESSION}", f"neuron={NEURON}", "device=cpu", f"stimulus.file={place}", f"stimulus.norm={NORM}"),
        *(f"reducer.start={WINDOW_START}", f"reducer.length={WINDOW_LENGTH}", f"optimizer.lr={LEARNING_RATE}"),
        *(f"stopper.max_iterations={iterations}", f"stimulus.frames={start.shape[2]}"),
    ]
    plans = [Workbench().plan(compose_settings(overrides))]
    with stopwatch("cpu") as watch:
        (outcome,) = optimize_stack([plan.problem for plan in accelerate(plans)])
    return outcome.stimulus[None], watch.seconds


if __name__ == "__main__":
    side, file, start, found, iterations = sys.argv[1:]
    set_threads()
    solve = {"ours": ours, "reference": reference}[side]
    stimulus, seconds = solve(Path(file), torch.from_numpy(np.load(start)), int(iterations))
    np.save(found, stimulus.cpu().numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mb": peak, "gflops": matrix_product("cpu")}) + "\n")
