"""Digital twins in the published architecture: a shared core, a readout per session, and ensembles of such members."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.architecture import NONLINEARITIES, Architecture
from openretina_cli.models.convolution import SeparableConvolution
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.readout import GaussianReadout

if TYPE_CHECKING:
    from openretina_cli.models.fast import FastForms


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
        for index, out_channels in enumerate(architecture.hidden_channels):
            layer = self._layer(architecture, index, in_channels, out_channels, log_speeds)
            self.features.add_module(f"layer{index}", layer)
            in_channels = out_channels

    @staticmethod
    def _layer(
        architecture: Architecture,
        index: int,
        in_channels: int,
        out_channels: int,
        log_speeds: Mapping[str, nn.Parameter],
    ) -> Layer:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["conv"] = SeparableConvolution(
            in_channels,
            out_channels,
            architecture.temporal_kernel_size[index],
            architecture.spatial_kernel_size[index],
            architecture.padding(index),
            log_speeds,
        )
        modules["norm"] = nn.BatchNorm3d(out_channels, affine=False)
        if architecture.core_bias:
            modules["bias"] = ChannelBias(out_channels)
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
                {
                    session: GaussianReadout(
                        architecture.hidden_channels[architecture.stack],
                        rows,
                        columns,
                        neurons,
                        mean_scale=architecture.gaussian_mean_scale,
                        variance_scale=architecture.gaussian_var_scale,
                        scale=architecture.readout_scale,
                        positive=architecture.readout_positive,
                    )
                    for session, neurons in sessions.items()
                }
            )
        except KeyError as error:  # torch refuses a name with a dot, or one of its own attributes
            problem = f"a session's name cannot be used: {shown(str(error))}"
            raise ModelError(problem, expected="names without dots") from error

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time - lag, neuron)` of one session to `(batch, channel, time, height, width)`."""
        session = the_session(self.readout.keys(), data_key)
        responses: Tensor = self.readout[session](self.core(stimulus, session))
        return responses


def the_session(sessions: Iterable[str], data_key: str | None) -> str:
    """The session meant by `data_key`; None means the only one.

    Raises:
        ModelError: there is no such session, or several and none was named.
    """
    names = list(sessions)
    if data_key is None and len(names) == 1:
        return names[0]
    if data_key is None or data_key not in names:
        raise ModelError(f"the model has no session {data_key!r}", expected="one of " + shown(", ".join(names[:20])))
    return data_key


class Retina(nn.Module):
    """A model of a retina that is ready to be used: frozen, in eval mode, and with its facts known.

    Attributes:
        facts: what is known about it.
        warnings: what a user should know of every run on it.
        narrow: whether fast forms of few neurons take less work than those of many, as they see fewer pixels.
        unfit: by session the neurons that are not finite, where weights that are not finite were set to zero.
    """

    facts: ModelFacts
    warnings: tuple[str, ...] = ()
    narrow: bool = False
    unfit: Mapping[str, frozenset[int]] = MappingProxyType({})

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings = (*self.warnings, text)

    def examine(self, session: str) -> None:
        """Check that the model is a function of each stimulus alone; the package's own models are known to be."""

    def shared(self, session: str, neurons: Sequence[int]) -> tuple[int, ...]:
        """Grouping key: runs on neurons with equal keys share a fast form, which answers for all of the neurons."""
        return tuple(neurons) if self.narrow else ()

    def fast_form(self, session: str, neurons: Sequence[int], frames: int, window: tuple[int, int]) -> nn.Module | None:
        """Make a module that answers as `self(stimulus, data_key=session)[:, start:stop, neurons]` does, but sooner.

        The answers agree to float32 rounding, in the response and in its gradient with respect to the stimulus. Later
        changes of the model do not reach the module.

        Args:
            session: the session.
            neurons: the neurons asked for, in that order.
            frames: stimulus frames.
            window: the response frames `[start, stop)` asked for.

        Returns:
            The module, on the model's device and in its precision, or None for a model without fast forms.
        """
        return None

    def freeze(self) -> None:
        """Put the model in eval mode and bar gradients from its weights for good."""
        self.eval()
        self.requires_grad_(False)


class EnsembleModel(Retina):
    """Several twins trained from different seeds; their responses are averaged.

    Args:
        members: the twins.
        facts: what is known about them.
    """

    def __init__(self, members: Sequence[Twin], facts: ModelFacts) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.facts = facts
        self._forms: FastForms | None = None
        self.freeze()

    def fast_form(
        self, session: str, neurons: Sequence[int] | None, frames: int, window: tuple[int, int] | None
    ) -> nn.Module | None:
        """See `Retina.fast_form`; what does not depend on neurons and window is computed once and kept."""
        from openretina_cli.models.fast import FastForms  # which is written in terms of the classes of this file

        if self._forms is None:
            self._forms = FastForms(self)
        return self._forms.form(session, neurons, frames, window)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EnsembleModel:
        """Move or convert the model; fast forms of the model before are dropped."""
        self._forms = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch states no types for it
        return self

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Mean response `(batch, time - lag, neuron)` of the members."""
        return torch.stack([member(stimulus, data_key) for member in self.members]).mean(0)
