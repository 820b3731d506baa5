"""The stimulus as a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from openretina_cli.output.base import Picture
from openretina_cli.store.names import VIDEO

if TYPE_CHECKING:
    from openretina_cli.output.view import RunView


class Video(Picture):
    """`stimulus.mp4`: H.264 at the true frame rate, the response window marked below the picture.

    Args:
        scale: symmetric: one scale for all channels on which zero is mid-grey; joint: from the minimum to the maximum.
    """

    names = (VIDEO,)

    def __init__(self, scale: Literal["symmetric", "joint"] = "symmetric") -> None:
        self.scale = scale

    def draw(self, name: str, view: RunView, kept: dict[str, Any]) -> bytes:
        """The bytes of the MP4."""
        from openretina_cli.output.film.mp4 import encode_video  # NumPy, which mistakes need not wait for

        return encode_video(view, scale=self.scale)
