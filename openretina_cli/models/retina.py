"""The contract of every model, and ensembles whose members are averaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError, SettingError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.fast_form import CannotFoldError, Folded, Window
from openretina_cli.models.foreign_file import shown

logger = logging.getLogger(__name__)


def the_session(sessions: Iterable[str], data_key: str | None) -> str:
    """The session that `data_key` names; None names the only one.

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

    def fast_form(
        self, session: str, neurons: Sequence[int] | None, frames: int, window: Window | None
    ) -> nn.Module | None:
        """Make a module that answers as `self(stimulus, data_key=session)[:, start:stop, neurons]` does, but sooner.

        The answers agree to float32 rounding, in the response and in its gradient with respect to the stimulus; the
        gradient is exactly zero in frames that do not reach the window. Later changes of the model do not reach the
        module.

        Args:
            session: the session.
            neurons: the neurons asked for, in that order; None means all of the session.
            frames: stimulus frames.
            window: the response frames `[start, stop)` asked for; None means all.

        Returns:
            The module, on the model's device and in its precision, or None for a model without fast forms; the log
            says which part of it has none.

        Raises:
            ModelError: the model has no such session.
            SettingError: the window is empty, or outside the response.
        """
        return None

    def apart(self) -> Ensemble | None:
        """The model as an ensemble, so that members can be held out; None where no members are known.

        Raises:
            ModelError: what it states as its members is not what its responses are made of.
        """
        return None

    def freeze(self) -> None:
        """Put the model in eval mode and bar gradients from its weights for good."""
        self.eval()
        self.requires_grad_(False)


class Ensemble(Retina):
    """Networks trained from different seeds; their responses are averaged.

    Args:
        members: the networks, called with a stimulus and a session.
        facts: what is known about them.
    """

    def __init__(self, members: Sequence[nn.Module], facts: ModelFacts) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.facts = facts
        self._folded: Folded | None = None
        self.freeze()

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Mean response `(batch, response frame, neuron)` of the members to `(batch, channel, time, height, width)`."""
        session = the_session(self.facts.sessions, data_key)
        responses: list[Tensor] = [member(stimulus, session) for member in self.members]
        return responses[0] if len(responses) == 1 else torch.stack(responses).mean(0)

    def of(self, members: Sequence[nn.Module]) -> Ensemble:
        """The ensemble of some of the members."""
        return type(self)(members, replace(self.facts, members=len(members)))

    def apart(self) -> Ensemble:
        """The ensemble itself."""
        return self

    def fold(self) -> Folded:
        """Work out what fast forms share.

        Raises:
            CannotFoldError: a part of the model is of a kind that is not known, or the members differ.
        """
        raise CannotFoldError(f"{type(self).__name__} does not say how it is folded")

    def fast_form(
        self, session: str, neurons: Sequence[int] | None, frames: int, window: Window | None
    ) -> nn.Module | None:
        """See `Retina.fast_form`; what does not depend on neurons and window is computed once and kept."""
        session = the_session(self.facts.sessions, session)
        length = self.facts.response_frames(frames)
        start, stop = window or (0, length)
        if not 0 <= start < stop <= length:
            response = f"the response, which has {max(length, 0)} frames"
            raise SettingError(f"the window [{start}, {stop}) is outside {response}")
        chosen = range(self.facts.sessions[session]) if neurons is None else neurons
        try:
            if type(self).forward is not Ensemble.forward:
                raise CannotFoldError(f"{type(self).__name__} is no ensemble whose members are averaged")
            if self._folded is None:
                self._folded = self.fold()
            return self._folded.form(session, chosen, frames, (start, stop))
        except CannotFoldError as reason:
            logger.info("No fast form: %s. The plain form is used.", reason)
            return None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Ensemble:
        """Move or convert the model; what was folded of the model before is dropped."""
        self._folded = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch states no types for it
        return self
