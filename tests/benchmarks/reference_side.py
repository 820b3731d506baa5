"""The reference package's side of the benchmark; runs in its own environment."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clock import FlopCounter, matrix_product, set_threads, stopwatch, torch_facts
from problem import SESSION
from reference import Reference
from side import serve
from torch import Tensor


class ReferenceSide:
    """Answers the driver."""

    reference: Reference
    starts: Tensor

    def load(self, checkpoint: str, device: str, starts: str) -> dict[str, Any]:
        """Load the model and the starts `(run, channel, time, height, width)`."""
        set_threads()
        self.device = device
        self.reference = Reference(checkpoint, device)
        self.starts = torch.from_numpy(np.load(starts)).to(device)
        return {"openretina": version("openretina"), **torch_facts(device)}

    def matrix_product(self) -> float:
        """GFLOP/s of a matrix product."""
        return matrix_product(self.device)

    def flops(self) -> dict[str, int]:
        """Operations of one forward pass, and of one run."""
        with FlopCounter() as forward, torch.no_grad():
            self.reference.model(self.starts[:1], data_key=SESSION)
        with FlopCounter() as run:
            self.reference.optimize(self.starts[:1], 0)
        return {"forward": forward.total, "run": run.total}

    def optimize(self, first: int, neurons: list[int], save: str) -> list[float]:
        """Seconds of each run, one after another, from the starts beginning at `first`; saves what they found."""
        seconds, found = [], []
        for start, neuron in zip(self.starts[first:], neurons, strict=False):
            with stopwatch(self.device) as watch:
                found.append(self.reference.optimize(start[None], neuron))
            seconds.append(watch.seconds)
        np.save(save, torch.cat(found).cpu().numpy())
        return seconds

    def artefacts(self, first: int, neurons: list[int], folder: str, player: bool) -> list[float]:
        """Seconds of each run, files included."""
        seconds = []
        for start, neuron in zip(self.starts[first:], neurons, strict=False):
            with stopwatch(self.device) as watch:
                stimulus = self.reference.optimize(start[None], neuron)
                self.reference.write(stimulus, neuron, Path(folder, f"{len(seconds):04d}"), player)
            seconds.append(watch.seconds)
        return seconds


if __name__ == "__main__":
    side = ReferenceSide()
    serve({name: getattr(side, name) for name in ("load", "matrix_product", "flops", "optimize", "artefacts")})
