"""`stimulus=pixels`: the pixels are optimised themselves, from seeded noise or from a saved stimulus."""

from __future__ import annotations

from collections.abc import Hashable

from openretina_cli.stimulus.base import FromNoise


class Pixels(FromNoise):
    """The pixels of a stimulus, from normal noise under the constraints, or from a saved stimulus as it is."""

    def grouping(self) -> Hashable:
        """All pixels are decoded alike."""
        return Pixels
