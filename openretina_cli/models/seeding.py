"""Random numbers of user code: seeded for equal results, without a trace in the caller's generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEED = 0
"""Seed of user code that draws random numbers; any constant makes equal commands give equal results."""


@contextmanager
def seeded(device: torch.device | None = None, seed: int = SEED) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python inside the block, and restore them after the block.

    Args:
        device: a CUDA device whose generator is seeded and restored as well.
        seed: seed of all generators.
    """
    cuda = device is not None and device.type == "cuda"
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
