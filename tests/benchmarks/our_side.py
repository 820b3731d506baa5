"""Our side of the benchmark; runs in the project's environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, NoReturn

import flops
import numpy as np
import torch
from clock import FlopCounter, matrix_product, set_threads, stopwatch, torch_facts
from numpy.typing import NDArray
from problem import CHECKPOINT, FRAMES, Run, runs, swept
from side import serve

from openretina_cli.config.compose import compose, compose_settings, read_arguments, read_overrides
from openretina_cli.config.expand import expand
from openretina_cli.config.settings import Settings
from openretina_cli.loop.loop import optimize_stack
from openretina_cli.models.twin import EnsembleModel
from openretina_cli.run.batch import batch_runner
from openretina_cli.run.model import Workbench
from openretina_cli.run.plan import plan_sweep
from openretina_cli.run.problem import Plan, accelerate
from openretina_cli.run.solver import Solver

OVERRIDES = ("model=ensemble_directory", f"model.path={CHECKPOINT}", "output.dpi=168")


class Silent:
    """Hears how runs go on, and says nothing."""

    def download(self, *_: Any) -> None:
        """Bytes of a download arrived."""

    def begin(self, *_: Any) -> None:
        """The runs of a stack begin."""

    def step(self, *_: Any) -> None:
        """A stimulus was measured."""

    def write(self) -> None:
        """The artefacts are being written."""

    def finished(self, *_: Any) -> None:
        """A run is in its folder."""

    def failed(self, *_: Any) -> None:
        """A run could not be made, which the tally has too."""

    def warned(self, *_: Any) -> None:
        """A picture could not be made."""


def settings_of(template: Settings, run: Run) -> Settings:
    """The settings of one run; composing those of hundreds by Hydra would take longer than the benchmark."""
    objective = template.objective.with_arguments(neuron=run.neuron)
    return replace(template, neuron=run.neuron, seed=run.seed, objective=objective)


def plan_all(bench: Workbench, batch: Sequence[Settings]) -> Iterator[list[Plan]]:
    """From checked settings to stacks of plans on the fast form."""
    size = bench.stack_size(batch[0])
    for first in range(0, len(batch), size):
        yield accelerate([bench.plan(settings) for settings in batch[first : first + size]])


def optimize_all(bench: Workbench, batch: Sequence[Settings]) -> NDArray[np.float32]:
    """From checked settings to stimuli `(run, channel, time, height, width)`: planning, fast form and loop."""
    found = []
    for plans in plan_all(bench, batch):
        found += optimize_stack([plan.problem for plan in plans])
    return torch.stack([outcome.stimulus for outcome in found]).cpu().numpy()


def write_all(overrides: Sequence[str], bench: Workbench) -> None:
    """From the overrides of a sweep to its finished folders, as `openretina optimize -m` makes them.

    Raises:
        RuntimeError: a run failed.
    """
    args, _ = read_arguments(["-m", *overrides])
    composed = partial(compose, args)
    sweep = plan_sweep(expand(read_overrides(args.overrides, sweeps=True), _no_cells), composed)
    sweep.directory.mkdir(parents=True)
    with batch_runner(sweep.directory, sweep.groups[0], None, Silent(), Solver(Silent(), bench)) as runner:
        for group in sweep.groups:
            runner.run(group.jobs)
    if runner.failures:
        raise RuntimeError(str(runner.failures))


def _no_cells() -> NoReturn:
    raise TypeError("the benchmark names its neurons")


class OurSide:
    """Answers the driver."""

    def load(self, device: str, count: int, starts: str) -> dict[str, Any]:
        """Load the model, and write the starts of the first `count` runs."""
        set_threads()
        self.device = device
        self.runs = runs(count)
        self.template = compose_settings([*OVERRIDES, f"device={device}"])
        self.bench = Workbench(Silent().download)
        batch = self._batch(0, count)
        self.bench.plan(batch[0])  # loads and tries the model
        np.save(starts, np.stack([self.bench.plan(settings).problem.stimulus.cpu().numpy() for settings in batch]))
        return {"openretina-cli": version("openretina-cli"), **torch_facts(device)}

    def _batch(self, first: int, count: int) -> list[Settings]:
        return [settings_of(self.template, run) for run in self.runs[first : first + count]]

    def golden(self, start: str, save: str) -> None:
        """Solve the golden case, whose start is in a file."""
        stimulus = self.template.stimulus.with_arguments(file=start)
        np.save(save, optimize_all(self.bench, [replace(self.template, stimulus=stimulus)]))

    def matrix_product(self) -> float:
        """GFLOP/s of a matrix product."""
        return matrix_product(self.device)

    def flops(self) -> dict[str, int]:
        """Operations of one run: what the plain form needs, and what is done here, alone and in a stack."""
        retina = self.bench.retina(self.template)
        assert isinstance(retina, EnsembleModel)
        size = self.bench.stack_size(self.template)
        done = []
        for count in (1, size):
            with FlopCounter() as counter:
                optimize_all(self.bench, self._batch(0, count))
            done.append(counter.total // count)
        return {"needed": flops.of_one_run(retina, FRAMES), "run": done[0], "run_in_stack": done[1], "stack": size}

    def optimize(self, first: int, count: int, save: str) -> float:
        """Seconds of all the runs as stacks; saves what they found."""
        batch = self._batch(first, count)
        with stopwatch(self.device) as watch:
            found = optimize_all(self.bench, batch)
        np.save(save, found)
        return watch.seconds

    def artefacts(self, count: int, folder: str) -> float:
        """Seconds of the first runs, from overrides to finished folders; the model is loaded."""
        overrides = [*OVERRIDES, f"device={self.device}", *swept(count), f"out={folder}"]
        with stopwatch(self.device) as watch:
            write_all(overrides, self.bench)
        return watch.seconds


if __name__ == "__main__":
    side = OurSide()
    serve(
        {name: getattr(side, name) for name in ("load", "golden", "matrix_product", "flops", "optimize", "artefacts")}
    )
