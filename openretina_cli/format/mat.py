"""`format=mat`: a file of MATLAB's for each clip."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from openretina_cli.format.base import Format, Frames, Show, needed


class Mat(Format):
    """`NAME.mat` for each clip: `frames`, uint8 `(height, width, channel, time)`, as `imshow` and Psychtoolbox take it.

    `channels`, `background` and `rate_hz` say what the frames are. The files are of level 5 with compression, which is
    what `save -v7` of MATLAB writes.
    """

    packages: ClassVar[dict[str, str]] = {"scipy.io": "mat"}

    def write(self, folder: Path, show: Show) -> None:
        """Write the files."""
        savemat = needed("scipy.io", "mat").savemat
        for index, clip in enumerate(show.clips):
            content = {
                "frames": np.moveaxis(show.whole_film(index), 0, -1),
                "channels": np.array(show.channels, object),
                "background": np.array(show.background, np.uint8),
                "rate_hz": show.rate,
            }
            savemat(folder / f"{clip.name}.mat", content, do_compression=True)

    def read(self, folder: Path, show: Show, index: int) -> Frames:
        """The frames of a clip."""
        found = needed("scipy.io", "mat").loadmat(folder / f"{show.clips[index].name}.mat")["frames"]
        frames = found[:, :, None, None] if found.ndim == 2 else found if found.ndim == 4 else found[..., None]
        return np.moveaxis(frames, -1, 0)

    def place(self, show: Show, index: int, frame: int) -> tuple[str, int]:
        """The frame of the array."""
        return f"{show.clips[index].name}.mat", frame
