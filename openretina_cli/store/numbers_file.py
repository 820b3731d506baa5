"""Reads arrays of numbers saved with NumPy, as untrusted data: the settings of another's run may name the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openretina_cli.store.files import RefusedError, read_bytes, refusing

MAX_BYTES = 2**26
"""Size of the largest file: 8,000 neurons in 1,000 frames of float64."""


def read_numbers(path: Path) -> NDArray[np.float32]:
    """The array in a `.npy` file; nothing in the file is executed.

    Args:
        path: a file of `numpy.save` with real numbers, in any shape.

    Raises:
        ArtifactError: the file cannot be read, is larger than `MAX_BYTES`, or holds anything but finite numbers.
    """
    with refusing(path, "finite numbers, as numpy.save writes them", "is no readable .npy"):
        found = np.load(io.BytesIO(read_bytes(path, MAX_BYTES)), allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            raise RefusedError("it holds no array of numbers")
        values = found.astype(np.float32)
        if not values.size or not np.isfinite(values).all():
            raise RefusedError("it is empty, or holds NaN or infinity")
        return values
