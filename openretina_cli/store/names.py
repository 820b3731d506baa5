"""Names of the files in a run's folder."""

from __future__ import annotations

STIMULUS = "stimulus.pt"
HISTORY = "history.csv"
RESPONSE = "response.csv"
VIDEO = "stimulus.mp4"
FIGURE = "composition"
FORMATS = ("png", "pdf", "svg")
"""Endings of the figure."""
PICTURES = (VIDEO, *(f"{FIGURE}.{ending}" for ending in FORMATS))
"""What is drawn from the numbers of a run."""
RESULT = "result.json"
FAILURE = "failure.json"
OVERRIDES = ".hydra/overrides.yaml"
CONFIG = ".hydra/config.yaml"
