"""Digital twins in the published architecture: a shared core, a readout per session, and ensembles of such members."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.architecture import NONLINEARITIES, Architecture
from openretina_cli.models.convolution import SeparableConvolution
from openretina_cli.models.fast_form import Folded
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.readout import GaussianReadout
from openretina_cli.models.retina import Ensemble, the_session


class ChannelBias(nn.Module):
    """A learnt offset per channel, kept apart from the affine-free batch norm before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add the offsets to `(batch, channel, time, height, width)`."""
        return x + self.bias


class Layer(nn.Sequential):
    """Convolution, batch norm, bias and nonlinearity; only the convolution knows about sessions."""

    def forward(self, x: Tensor, session: str) -> Tensor:  # type: ignore[override]  # Sequential takes one argument
        """Map `(batch, channel, time, height, width)` features of one layer to those of the next."""
        convolution, *rest = self
        x = convolution(x, session)
        for module in rest:
            x = module(x)
        return x


class Core(nn.Module):
    """The layers that all neurons of all sessions share."""

    def __init__(self, architecture: Architecture, in_channels: int, sessions: Sequence[str]) -> None:
        super().__init__()
        self.depth = range(architecture.layers)[architecture.stack] + 1
        log_speeds = {session: nn.Parameter(torch.zeros(1)) for session in sessions}
        for session, log_speed in log_speeds.items():
            self.register_parameter(f"log_speed_{session}", log_speed)
        self.features = nn.Sequential()
        channels = (in_channels, *architecture.hidden_channels)
        for index in range(architecture.layers):
            layer = self._layer(architecture, index, (channels[index], channels[index + 1]), log_speeds)
            self.features.add_module(f"layer{index}", layer)

    @staticmethod
    def _layer(
        architecture: Architecture, index: int, channels: tuple[int, int], log_speeds: Mapping[str, nn.Parameter]
    ) -> Layer:
        length, size = architecture.temporal_kernel_size[index], architecture.spatial_kernel_size[index]
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["conv"] = SeparableConvolution(*channels, length, size, architecture.padding(index), log_speeds)
        modules["norm"] = nn.BatchNorm3d(channels[1], affine=False)
        if architecture.core_bias:
            modules["bias"] = ChannelBias(channels[1])
        modules["nonlin"] = NONLINEARITIES[architecture.nonlinearity]()
        return Layer(modules)

    def forward(self, x: Tensor, session: str) -> Tensor:
        """Map a stimulus `(batch, channel, time, height, width)` to the features that the readouts see."""
        for layer in list(self.features)[: self.depth]:
            x = layer(x, session)
        return x


class Twin(nn.Module):
    """One network trained on all sessions of a recording (Höfling et al. 2024, eLife 13:e86860).

    Args:
        architecture: the network's shape.
        field: `(channel, height, width)` of the stimulus.
        sessions: number of neurons by session.

    Raises:
        ModelError: the field is too small for the kernels, or a session's name cannot be used.
    """

    def __init__(self, architecture: Architecture, field: tuple[int, int, int], sessions: Mapping[str, int]) -> None:
        super().__init__()
        channels, height, width = field
        rows, columns = architecture.output_size(height), architecture.output_size(width)
        if min(rows, columns) < 1:
            raise ModelError(f"a stimulus of {height} x {width} pixels is smaller than the model's kernels")
        self.architecture = architecture
        try:
            self.core = Core(architecture, channels, list(sessions))
            self.readout = nn.ModuleDict(
                {name: GaussianReadout(architecture, rows, columns, count) for name, count in sessions.items()}
            )
        except KeyError as error:  # torch refuses a name with a dot, or one of its own attributes
            problem = f"a session's name cannot be used: {shown(str(error))}"
            raise ModelError(problem, expected="names without dots") from error

    @property
    def readouts(self) -> dict[str, GaussianReadout]:
        """The readouts by session."""
        return {name: cast(GaussianReadout, module) for name, module in self.readout.items()}

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time - lag, neuron)` of one session to `(batch, channel, time, height, width)`."""
        session = the_session(self.readout.keys(), data_key)
        responses: Tensor = self.readout[session](self.core(stimulus, session))
        return responses


class EnsembleModel(Ensemble):
    """Twins trained from different seeds; their responses are averaged."""

    def fold(self) -> Folded:
        """See `Ensemble.fold`."""
        from openretina_cli.models.fast import FoldedEnsemble  # which is written in terms of the classes of this file

        return FoldedEnsemble([*self.members], (self.facts.height, self.facts.width))
