"""Modules of a user whose members are known: networks whose responses are averaged, so that members can be held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from openretina_cli.errors import ModelError
from openretina_cli.models.held_weights import digest_of_weights
from openretina_cli.models.module import ModuleRetina
from openretina_cli.models.probe import probe_stimulus
from openretina_cli.models.retina import Ensemble
from openretina_cli.models.seeding import seeded

MEMBERS = "members"
"""Attribute of a module that holds its members."""
TOLERANCE = 1e-4
"""Relative difference of a response from the mean of the members' responses, above float32 rounding of their sum."""


class ModuleEnsemble(Ensemble):
    """Modules that are called alike, such as networks trained from different seeds; their responses are averaged."""

    def examine(self, session: str) -> None:
        """Make every member a function of each stimulus alone; what that took is said of the ensemble."""
        for member in self.members:
            assert isinstance(member, ModuleRetina)  # noqa: S101  # for the type checker
            member.examine(session)
            for warning in member.warnings:
                self.warn(warning)


def ensemble_of(members: Sequence[ModuleRetina]) -> ModuleEnsemble:
    """The ensemble of retinas of modules.

    Raises:
        ModelError: they differ in their sessions, neurons or lag.
    """
    first = members[0].facts
    for number, member in enumerate(members):
        if replace(member.facts, sha256=first.sha256) != first:
            raise ModelError(
                f"member {number} of {first.name} answers for {dict(member.facts.sessions)} at a lag of "
                f"{member.facts.lag} frames, member 0 for {dict(first.sessions)} at {first.lag}",
                expected="members with the same sessions and lag",
            )
    sha256 = digest_of_weights(nn.ModuleList([member.module for member in members]))
    ensemble = ModuleEnsemble(members, replace(first, members=len(members), sha256=sha256))
    for warning in dict.fromkeys(warning for member in members for warning in member.warnings):
        ensemble.warn(warning)
    return ensemble


def _members(module: nn.Module) -> nn.ModuleList | None:
    """The members of a module, also inside wrappers with one submodule."""
    found = getattr(module, MEMBERS, None)
    if isinstance(found, nn.ModuleList):
        return found
    children = list(module.children())
    return _members(children[0]) if len(children) == 1 else None


@torch.no_grad()
def members_apart(retina: ModuleRetina) -> ModuleEnsemble | None:
    """The members of a module as an ensemble; None where it states fewer than two.

    Raises:
        ModelError: a member cannot be called as the module is, or the response is not the mean of theirs.
    """
    members = _members(retina.module)
    if members is None or len(members) < 2 or retina.wrap_alike is None:
        return None
    ensemble = ensemble_of([retina.wrap_alike(member) for member in members])
    session, weights = next(iter(retina.facts.sessions)), next(retina.parameters(), torch.zeros(()))
    frames = retina.facts.lag + retina.facts.response_stride
    with seeded(weights.device):
        stimulus = probe_stimulus(retina.facts, frames, weights.device)
        whole, mean = retina(stimulus, session), ensemble(stimulus, session)
    if whole.shape != mean.shape or float((whole - mean).norm()) > TOLERANCE * float(whole.norm()):
        raise ModelError(
            f"the response of {retina.facts.name} is not the mean of those of its {len(members)} {MEMBERS}",
            expected=f"a module whose {MEMBERS} are averaged",
        )
    return ensemble
