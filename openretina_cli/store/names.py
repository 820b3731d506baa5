"""Names of the files in a run's folder."""

from __future__ import annotations

import re

STIMULUS = "stimulus.pt"
HISTORY = "history.csv"
RESPONSE = "response.csv"
VIDEO = "stimulus.mp4"
FIGURE = "composition"
FORMATS = ("png", "pdf", "svg")
"""Endings of the figures."""
MEMBERS, SHEET = "members.pt", "members"
"""The stack of all members of a set, and the figure of them."""
OUTPUTS = (STIMULUS, HISTORY, RESPONSE, VIDEO, *(f"{FIGURE}.{ending}" for ending in FORMATS))
"""What a run wrote whose result has no list of files."""
RESULT = "result.json"
FAILURE = "failure.json"
FINDING = ".finding.json"
"""Ending of the files in which verbs state what they found on a run, or on the runs of a folder."""
OVERRIDES = ".hydra/overrides.yaml"
CONFIG = ".hydra/config.yaml"


def is_plain(name: str) -> bool:
    """Whether a text can name a file in a run's folder: no other folder, no hidden file."""
    return re.fullmatch(r"\w[\w.+-]{0,99}", name) is not None
