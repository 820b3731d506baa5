"""A model of your own: linear filters that see the last frames of a grey video, and a rectifier.

From this folder:

    openretina optimize model=torch_module model.module._target_=own_model.Filters +model.module.neurons=4 \
        model.height=12 model.width=10 'model.channels=[grey]' model.frame_rate=60 \
        'model.stimulus_range=[[-2,2]]' neuron=3 stimulus.frames=30 reducer=mean

or from Python, with a model that is in memory and may have just been trained:

    optimize("model.height=12", "model.width=10", "model.channels=[grey]", "stimulus.frames=30", "reducer=mean",
             model=Filters(4), neuron=3)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Filters(nn.Module):
    """Cells with a space-time filter each; a real one would bring weights, see `model.weights`.

    Args:
        neurons: number of cells.
        depth: frames that a cell sees.
    """

    def __init__(self, neurons: int, depth: int = 8) -> None:
        super().__init__()
        self.filter = nn.Conv3d(1, neurons, (depth, 12, 10))
        rows, columns = torch.linspace(-2, 2, 12)[:, None], torch.linspace(-2, 2, 10)[None]
        time = torch.sin(torch.linspace(0, torch.pi, depth)) * torch.linspace(-0.5, 1, depth)
        with torch.no_grad():
            for cell in range(neurons):
                field = torch.exp(-(rows**2) - (columns - cell / neurons) ** 2)
                self.filter.weight[cell, 0] = time[:, None, None] * field / 4
            self.filter.bias.zero_()

    def forward(self, stimulus: Tensor) -> Tensor:
        """Map `(batch, channel, time, height, width)` to `(batch, time, neuron)`."""
        return nn.functional.softplus(self.filter(stimulus))[..., 0, 0].transpose(1, 2)
