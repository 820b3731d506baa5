"""A core + readout model, of one member or several, behind the interface of a retina."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from openretina_cli.models.core_readout.core import Core
from openretina_cli.models.core_readout.fast import FoldedModel
from openretina_cli.models.core_readout.readout import MaskReadout, Readout
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.fast_form import Folded
from openretina_cli.models.retina import Ensemble


class Member(nn.Module):
    """One trained network: a core, and a readout per session.

    Args:
        core: shared by all sessions.
        readouts: by session.
    """

    def __init__(self, core: Core, readouts: Mapping[str, Readout]) -> None:
        super().__init__()
        self.core = core
        self.sessions = list(readouts)
        self.readouts = nn.ModuleList(readouts.values())  # a list, as torch forbids some names of sessions

    def readout(self, session: str) -> Readout:
        """The readout of a session."""
        found: Readout = self.readouts[self.sessions.index(session)]  # type: ignore[assignment]  # only readouts
        return found

    @property
    def stride(self) -> int:
        """Stimulus frames per response frame."""
        return self.core.stride

    @property
    def lag(self) -> int:
        """The stimulus frame that the first response frame belongs to: the last one of those averaged."""
        many = 2**20  # any number of frames that is long enough
        readout: Readout = self.readouts[0]  # type: ignore[assignment]  # only readouts
        lost = many - self.core.output((many * self.stride, 1, 1))[0] + readout.lag
        return (lost + 1) * self.stride - 1

    def forward(self, stimulus: Tensor, session: str) -> Tensor:
        """Responses `(batch, frame, neuron)` to `(batch, channel, time, height, width)`."""
        response: Tensor = self.readout(session)(self.core(stimulus))
        return response


class CoreReadoutModel(Ensemble):
    """Members trained from different seeds, whose responses are averaged.

    Args:
        members: the networks.
        facts: what is known about them.
    """

    def __init__(self, members: Sequence[Member], facts: ModelFacts) -> None:
        super().__init__(members, facts)
        self.narrow = not all(isinstance(r, MaskReadout) for member in members for r in member.readouts)

    def fold(self) -> Folded:
        """See `Ensemble.fold`."""
        return FoldedModel(list(self.members), (self.facts.height, self.facts.width))  # type: ignore[arg-type]
