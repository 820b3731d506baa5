r"""Networks of mouse primary visual cortex in two colours (Franke, Willeke et al. 2022), as a torch module.

The state dicts are published in sinzlab/nndichromacy, `nndichromacy/data/model_weights/v1_data_driven`.
From this folder:

    openretina optimize -m model=torch_module model.module._target_=mouse_v1_color.MouseV1 \
        model.weights=v1_color_1.tar model.static=true model.height=36 model.width=64 \
        'model.channels=[first,second]' 'model.stimulus_range=[-2.26,2.46]' neuron=0..19 \
        stimulus.norm=10 stimulus.frames=1 reducer=mean stopper.max_iterations=120

All five as an ensemble, `'model.weights=[v1_color_1.tar,...,v1_color_5.tar]'`, can be held out in turn by
`openretina validate --held-out`; docs/search_space.md has the command and what it found.

The stimuli are z-scored with mean 122 and standard deviation 54 grey levels, so that black is -2.26 and white 2.46.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEURONS = {"25311-4-6": 478, "25311-7-34": 623, "25311-10-26": 658}
"""Number of neurons of each recording."""
CHANNELS = 64


class Separable(nn.Module):
    """A depthwise convolution between two pointwise ones, under the names of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.in_depth_conv = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.spatial_conv = nn.Conv2d(CHANNELS, CHANNELS, 7, padding=3, groups=CHANNELS, bias=False)
        self.out_depth_conv = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(batch, 64, height, width)` to the same shape."""
        made: Tensor = self.out_depth_conv(self.spatial_conv(self.in_depth_conv(image)))
        return made


class Layer(nn.Module):
    """A convolution, batch norm and ELU; `name` is what the published weights call the convolution."""

    def __init__(self, name: str, convolution: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, convolution)
        self.norm = nn.BatchNorm2d(CHANNELS)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(batch, channel, height, width)` to `(batch, 64, height', width')`."""
        return F.elu(self.norm(self.get_submodule(self.name)(image)))


class Points(nn.Module):
    """Reads every neuron at one position, which is a linear map of where the neuron lies in the cortex."""

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.mu_transform = nn.Sequential(nn.Linear(2, 2))
        self._features = nn.Parameter(torch.zeros(1, CHANNELS, 1, neurons))
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.register_buffer("source_grid", torch.zeros(neurons, 2))
        self.register_buffer("sigma", torch.zeros(1, neurons, 2, 2))  # noise of the positions in training

    def forward(self, image: Tensor) -> Tensor:
        """Map `(batch, 64, height, width)` to `(batch, neuron)`."""
        positions = self.mu_transform(self.source_grid).clamp(-1, 1)
        grid = positions[None, :, None].expand(len(image), -1, -1, -1)
        seen = F.grid_sample(image, grid, align_corners=True)[..., 0]  # (batch, 64, neuron)
        return (seen * self._features[:, :, 0]).sum(1) + self.bias


class MouseV1(nn.Module):
    """One of the networks.

    Args:
        neurons: number of neurons by recording; None means those of the published networks.
    """

    def __init__(self, neurons: Mapping[str, int] | None = None) -> None:
        super().__init__()
        first = Layer("conv", nn.Conv2d(2, CHANNELS, 9, bias=False))
        later = {f"layer{index}": Layer("ds_conv", Separable()) for index in (1, 2, 3)}
        self.core = nn.Module()
        self.core.features = nn.Sequential()
        for name, layer in {"layer0": first, **later}.items():
            self.core.features.add_module(name, layer)
        regularizer = nn.Module()  # which the published files hold as well
        regularizer.laplace = nn.Module()
        regularizer.laplace.register_buffer("filter", torch.zeros(1, 1, 3, 3))
        self.core.add_module("_input_weights_regularizer", regularizer)
        self.readout = nn.ModuleDict({name: Points(count) for name, count in (neurons or NEURONS).items()})

    def forward(self, image: Tensor, data_key: str) -> Tensor:
        """Map images `(batch, 2, height, width)` to responses `(batch, neuron)` of a recording."""
        return F.elu(self.readout[data_key](self.core.features(image))) + 1
