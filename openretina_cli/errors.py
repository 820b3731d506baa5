"""What can go wrong, said so that it can be mended: the mistake, what was expected, the override that repairs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from openretina_cli.text import LONGEST_ERROR, fitted, one_line


class OpenRetinaError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        expected: what would have been right.
        repair: the override or command that mends it.
    """

    exit_code = 1

    def __init__(self, problem: str, *, expected: str = "", repair: str = "") -> None:
        super().__init__(problem, expected, repair)
        self.problem = problem
        self.expected = expected
        self.repair = repair

    def __reduce__(self) -> tuple[Callable[..., OpenRetinaError], tuple[str]]:
        """How it crosses to another process, as from a launcher's worker to the command."""
        return partial(type(self), expected=self.expected, repair=self.repair), (self.problem,)

    def __str__(self) -> str:
        """One line of at most `LONGEST_ERROR` characters, whatever a file or server put into the parts."""
        expected = f"; expected {self.expected}" if self.expected else ""
        repair = f". Try: {self.repair}" if self.repair else ""
        parts = [" ".join(one_line(part).split()) for part in (self.problem, expected, repair)]
        return "".join(fitted(parts, LONGEST_ERROR))


class UserError(OpenRetinaError):
    """A mistake in what the user asked for; nothing was computed."""

    exit_code = 2


class SettingError(UserError):
    """A setting is misspelt, has the wrong type, or does not fit the model."""


class ModelError(UserError):
    """A checkpoint or module that cannot be used as a model of a retina."""


class UnsafeFileError(ModelError):
    """A file holds something that could run code when it is read; it was not read."""


class RunError(OpenRetinaError):
    """The request was sound, but the run failed."""


class DownloadError(RunError):
    """A file could not be brought onto this machine whole."""


class ObjectiveError(RunError):
    """An objective raised, or returned something that is no score."""


class ArtifactError(RunError):
    """An artefact could not be written."""
