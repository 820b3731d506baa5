"""Timing with torch that both sides do in the same way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from problem import THREADS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

MATRIX = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product gives the speed that arithmetic can reach; larger ones are no faster."""


class Stopwatch:
    """Seconds of one `with` block, once it is over."""

    seconds = 0.0


@contextmanager
def stopwatch(device: str) -> Iterator[Stopwatch]:
    """Time a block; what a GPU was told before is waited for, and so is what it is told inside."""
    watch = Stopwatch()
    _synchronize(device)
    started = time.perf_counter()
    yield watch
    _synchronize(device)
    watch.seconds = time.perf_counter() - started


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def set_threads() -> None:
    """Use as many threads as the other side."""
    torch.set_num_threads(THREADS)


def matrix_product(device: str) -> float:
    """GFLOP/s of a float32 matrix product in this process, the best of five: the most that arithmetic can reach."""
    size = MATRIX[device.partition(":")[0]]
    left, right = torch.randn(2, size, size, device=device)
    seconds = []
    for _ in range(5):
        with stopwatch(device) as watch:
            torch.mm(left, right)
        seconds.append(watch.seconds)
    return 2 * size**3 / min(seconds) / 1e9


def _addmm(_: Any, left: Tensor, right: Tensor, **__: Any) -> int:
    return 2 * left.numel() * right.shape[-1]


COUNTED = {
    **flop_registry,  # torch's own leaves out products that are made in place
    torch.ops.aten.addmm_: _addmm,
    torch.ops.aten.baddbmm_: _addmm,
}


class FlopCounter(TorchDispatchMode):
    """Counts the floating-point operations of products and convolutions inside a `with` block.

    Torch's `FlopCounterMode` would do, but it hooks into modules too, which does not work where the gradient of a
    module's own input is asked for.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do one operation, and count it."""
        result = func(*args, **(kwargs or {}))
        if (count := COUNTED.get(func.overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def torch_facts(device: str) -> dict[str, Any]:
    """What torch is and runs on here."""
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "gpu": gpu}
