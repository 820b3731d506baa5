"""`format=avi`: a lossless video for each clip."""

from __future__ import annotations

from openretina_cli.format.coding.film import Films


class Avi(Films):
    """`NAME.avi` for each clip: FFV1, red-green-blue, at the device's rate."""
