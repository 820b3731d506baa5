"""Settings that are paths: which they are, and `~` in them."""

from __future__ import annotations

import os

MASKS = tuple(f"{group}.mask.{source}" for group in ("constraint", "gradient") for source in ("file", "from_run"))
PATHS = (
    *("out", "runs", "model.path", "model.weights", "stimulus.file", "stimulus.movie"),
    *("objective.file", "objective.stimulus", "objective.reference"),
    *("hydra.run.dir", "hydra.sweep.dir"),
    *MASKS,
)
"""Settings whose value is a file or folder, and is taken as it was typed."""
SEVERAL = ("model.weights",)
"""Of these, those that may be a list of files in brackets."""


def expand_home(path: str) -> str:
    """Puts the user's home folder in the place of a leading `~`, as shells do where nothing stands before it."""
    return os.path.expanduser(path)


def expand_word(word: str) -> str:
    """Expands a word of a command line that is a path; others, such as Hydra's deletion `~seed`, stay as they are."""
    return expand_home(word) if word == "~" or word.startswith("~/") else word
