"""Loading a published ensemble from Python, as the example notebook does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from openretina_cli.models.directory import Presentation, load_ensemble
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.member_files import member_files
from openretina_cli.models.safe_files import read_data_info
from openretina_cli.models.twin import EnsembleModel

HOEFLING_2024 = RemoteCheckpoint.ensemble(
    "hoefling_2024",
    "https://gin.g-node.org/eulerlab/rgc-natstim/raw/master/models/nonlinear/9d574ab9fcb85e8251639080c8d402b7/",
    (0, 1000, 2000, 3000, 4000),
)
"""The published ensemble of Höfling et al. 2024, eLife 13:e86860."""

HOEFLING_FACTS = Presentation(
    name="hoefling_2024",
    channels=("green", "uv"),
    frame_rate=30.0,
    pixel_size=50.0,
    stimulus_range=((-0.654, 6.269), (-0.913, 6.269)),
)
"""What the published files leave out (Höfling et al. 2024, Methods: 30 Hz, 50 um; ranges from the example notebook)."""


def load_ensemble_model_from_directory(
    directory: str | Path, device: str | torch.device = "cpu", center_readouts: bool = False
) -> tuple[dict[str, Any], EnsembleModel]:
    """Load an ensemble in the published layout; nothing in its files is executed.

    Args:
        directory: the checkpoint's folder.
        device: where to put it.
        center_readouts: whether every neuron's mask is moved to the middle of the field.

    Returns:
        What `data_info` says of the recording, and the ensemble.

    Raises:
        ModelError: the folder or a file in it is missing, broken, hostile or unsupported.
    """
    folder = Path(directory)
    ensemble = load_ensemble(folder, center_readouts=center_readouts, presentation=HOEFLING_FACTS)
    return read_data_info(member_files(folder)[0].data_info), ensemble.to(device)


def load_ensemble_model_from_remote(
    device: str | torch.device = "cpu", center_readouts: bool = False, report: Report | None = None
) -> tuple[dict[str, Any], EnsembleModel]:
    """Download the published ensemble once, and load it.

    Args:
        device: where to put it.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        report: told how the download goes on.

    Returns:
        What `data_info` says of the recording, and the ensemble.

    Raises:
        DownloadError: it could not be downloaded.
    """
    return load_ensemble_model_from_directory(fetch(HOEFLING_2024, report=report), device, center_readouts)
