"""Names of the files in a run's folder."""

from __future__ import annotations

STIMULUS = "stimulus.pt"
HISTORY = "history.csv"
RESPONSE = "response.csv"
VIDEO = "stimulus.mp4"
FIGURE = "composition"
RESULT = "result.json"
FAILURE = "failure.json"
OVERRIDES = ".hydra/overrides.yaml"
CONFIG = ".hydra/config.yaml"
