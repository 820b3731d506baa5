"""A constraint of your own: a stimulus whose mean over time is grey in every pixel, as an adapting stimulator wants it.

From this folder:

    openretina optimize --config-dir lab 'constraint=[grey_mean,norm]' neuron=84
"""

from __future__ import annotations

from torch import Tensor

from openretina_cli import Constraint


class GreyMean(Constraint):
    """Subtracts a share of each pixel's mean over time.

    Args:
        share: 1 leaves no mean, 0 changes nothing.
    """

    pure = True  # no state: the runs of a sweep share one call

    def __init__(self, share: float = 1.0) -> None:
        self.share = share

    def process(self, x: Tensor) -> Tensor:
        """Map stimuli `(run, channel, time, height, width)` to the nearest that obey."""
        return x - self.share * x.mean(dim=2, keepdim=True)
