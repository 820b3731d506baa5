"""Plain gradient descent, as `torch.optim.SGD` without momentum, for those who do not want to wait for the compiler.

Every optimizer of torch imports its compiler (`torch._dynamo`) when it is made, which takes about 0.8 s and is then not
used: for one small run that is longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class GradientDescent:
    """Steps tensors against their gradients: `x <- x - lr * gradient`, in place.

    Args:
        params: the tensors; one whose gradient is None is passed over.
        lr: step size.
    """

    def __init__(self, params: Sequence[Tensor], lr: float) -> None:
        self._params = list(params)
        self._lr = lr

    @torch.no_grad()
    def step(self) -> None:
        """Make a step."""
        for param in self._params:
            if param.grad is not None:
                param.add_(param.grad, alpha=-self._lr)
