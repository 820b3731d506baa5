"""The contract of an output: a file, or several, that a run leaves in its folder.

`output=[tensor,video]` chooses outputs. Those made of numbers are written in the process that solves the run, into the
folder that then appears whole with its `result.json`. Pictures are drawn after that, in a process of their own that
imports no torch, or later from the folder; a picture that fails is a warning in the result. Outputs shape no number:
they are no part of a run's identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from openretina_cli.output.view import RunView
    from openretina_cli.stopper import Step


REMARKS = "remarks"
"""Under this name a picture may keep what it shows otherwise than it is: a text for each of its files."""


class Output:
    """One option of `output=[...]`; subclasses are `Numbers` or `Picture`.

    Attributes:
        names: the files that it writes, plain names; a class with the same names always states them as its attribute.
        needs: outputs whose files it is made from, which must be chosen as well.
        chosen: the name under which `output=[...]` chose it; set once it is built.
        settings: its YAML, `_target_` included, which `result.json` records; likewise.
    """

    names: tuple[str, ...] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    chosen: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})


class Numbers(Output):
    """A file made of numbers, written while the solved run is in memory. An error fails the run."""

    def content(self, name: str, view: RunView, steps: Sequence[Step]) -> bytes:
        """The bytes of one of the files.

        Args:
            name: one of `names`.
            view: the stimulus and the responses.
            steps: a record per measured stimulus.
        """
        raise NotImplementedError


class Picture(Output):
    """A file drawn from the numbers of a run: at once, or later from its folder. An error is a warning.

    A picture goes to the drawing process by pickle, so that its class must be importable and light.

    Attributes:
        names_of_set: further files, drawn where a run leaves a set of stimuli.
        naming: settings that decide which files there are, but not how they look.
        limits: largest values of settings that are taken over from a finished run, which a stranger may have written.
    """

    needs = ("tensor", "tables")
    names_of_set: tuple[str, ...] = ()
    naming: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def draw(self, name: str, view: RunView, kept: dict[str, Any]) -> bytes:
        """The bytes of one of the files; the same for the same run, whatever was drawn before.

        Args:
            name: one of `names`.
            view: the stimulus, the responses and the facts of a run.
            kept: belongs to the drawing process; what takes long to make can be kept there from run to run. What is
                put under `REMARKS` becomes a warning of this run: "composition.png shows ...".
        """
        raise NotImplementedError


Wanted = Mapping[str, Picture]
"""Pictures by the names of their files."""
