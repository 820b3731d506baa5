"""Evaluates modules of the caller's without leaving a trace in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluated(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules into eval mode and bar gradients from their parameters inside the block.

    Afterwards the training flag of every submodule, the values of all buffers and `requires_grad` of all parameters are
    what they were before.

    Args:
        modules: the modules; one may be named several times.
    """
    distinct = list(dict.fromkeys(modules))
    parts = {part: part.training for module in distinct for part in module.modules()}
    parameters = {parameter: parameter.requires_grad for module in distinct for parameter in module.parameters()}
    buffers = [
        (part, name, buffer, buffer.detach().clone())
        for part in parts
        for name, buffer in part.named_buffers(recurse=False)
    ]
    try:
        for module in distinct:
            module.eval()
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for part, training in parts.items():
            part.training = training
        for parameter, wanted in parameters.items():
            parameter.requires_grad_(wanted)
        with torch.no_grad():
            for part, name, buffer, value in buffers:
                setattr(part, name, buffer)
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
