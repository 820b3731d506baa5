"""One side of the benchmark of published core + readout shapes: ZOO_SIDE=ours or reference; asked over pipes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from clock import FlopCounter, matrix_product, set_threads, stopwatch
from side import serve
from torch import Tensor
from zoo_shapes import NEURON, NORM, RANGE, SESSION, SHAPES, Shape

Prepare = Callable[[Tensor, int], Callable[[], Tensor]]
"""From a start and a number of iterations to what finds a stimulus."""


def reference(file: Path, shape: Shape) -> Prepare:
    """The package's own loop on its own model."""
    from openretina.insilico.stimulus_optimization.objective import IncreaseObjective, SliceMeanReducer
    from openretina.insilico.stimulus_optimization.optimization_stopper import OptimizationStopper
    from openretina.insilico.stimulus_optimization.optimizer import optimize_stimulus
    from openretina.insilico.stimulus_optimization.regularizer import ChangeNormJointlyClipRangeSeparately
    from openretina.models.core_readout import UnifiedCoreReadout

    model = UnifiedCoreReadout.load_from_checkpoint(file, map_location="cpu", weights_only=False).eval()
    reducer = SliceMeanReducer(axis=0, start=0, length=shape.window)
    objective = IncreaseObjective(model, neuron_indices=NEURON, data_key=SESSION, response_reducer=reducer)
    rule = ChangeNormJointlyClipRangeSeparately(min_max_values=[RANGE] * shape.channels, norm=NORM)
    step = partial(torch.optim.SGD, lr=shape.rate)

    def prepare(start: Tensor, iterations: int) -> Callable[[], Tensor]:
        def solve() -> Tensor:
            stimulus = start.clone().requires_grad_(True)
            stopper = OptimizationStopper(max_iterations=iterations)
            optimize_stimulus(
                stimulus, step, objective, stopper, stimulus_postprocessor=rule, stimulus_regularization_loss=None
            )
            return stimulus.detach()

        return solve

    return prepare


def ours(file: Path, shape: Shape) -> Prepare:
    """Settings, fast form and loop, as the command has them; the fast form is made once."""
    from openretina_cli.config.compose import compose_settings
    from openretina_cli.loop.loop import optimize_stack
    from openretina_cli.run.model import Workbench
    from openretina_cli.run.problem import accelerate

    bench, place = Workbench(), file.with_suffix(".start.pt")

    def prepare(start: Tensor, iterations: int) -> Callable[[], Tensor]:
        torch.save(start, place)
        overrides = [
            *("model=core_readout", f"model.path={file}", f"model.stimulus_range=[[{RANGE[0]},{RANGE[1]}]]"),
            *(f"session={SESSION}", f"neuron={NEURON}", "device=cpu", f"stimulus.file={place}"),
            *(f"stimulus.norm={NORM}", f"stimulus.frames={shape.frames}", f"optimizer.lr={shape.rate}"),
            *("reducer.start=0", f"reducer.length={shape.window}", f"stopper.max_iterations={iterations}"),
        ]
        (plan,) = accelerate([bench.plan(compose_settings(overrides))])
        return lambda: optimize_stack([plan.problem])[0].stimulus[None]

    return prepare


class Server:
    """What the driver asks."""

    def __init__(self, make: Callable[[Path, Shape], Prepare]) -> None:
        self.make = make

    def load(self, name: str, file: str, start: str) -> None:
        """Load a checkpoint, and do one iteration that is not timed."""
        set_threads()
        warnings.simplefilter("ignore")
        self.start = torch.from_numpy(np.load(start))
        self.prepare = self.make(Path(file), SHAPES[name])
        self.prepare(self.start, 1)()

    def optimize(self, iterations: int, save: str) -> float:
        """Seconds per iteration; the stimulus is saved."""
        solve = self.prepare(self.start, iterations)
        with stopwatch("cpu") as watch:
            stimulus = solve()
        np.save(save, stimulus.cpu().numpy())
        return watch.seconds / iterations

    def flops(self) -> int:
        """Floating-point operations of products and convolutions in one iteration."""
        with FlopCounter() as counter:
            self.prepare(self.start, 1)()
        return counter.total


def peak_mb() -> float:
    """The most memory of this process in MB of 10^6 bytes, without that of the driver, which getrusage(2) counts."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    server = Server({"ours": ours, "reference": reference}[os.environ["ZOO_SIDE"]])
    serve(
        {
            "load": server.load,
            "optimize": server.optimize,
            "flops": server.flops,
            "matrix_product": lambda: matrix_product("cpu"),
            "peak_mb": peak_mb,
        }
    )
