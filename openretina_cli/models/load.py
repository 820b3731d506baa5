"""Loading the published ensemble from Python, as the example notebook does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.ensemble import load_ensemble
from openretina_cli.models.facts import Presentation
from openretina_cli.models.member_files import member_files
from openretina_cli.models.published import packaged_models
from openretina_cli.models.safe_files import read_data_info
from openretina_cli.models.twin import EnsembleModel

PUBLISHED = "hoefling_2024"
"""The published ensemble of Höfling et al. 2024, eLife 13:e86860; its config states what its files leave out."""
FACTS = ("name", "channels", "frame_rate", "pixel_size", "stimulus_range")


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
    folder, settings = Path(directory), packaged_models()[PUBLISHED]
    facts = Presentation(**{name: settings[name] for name in FACTS})
    ensemble = load_ensemble(folder, center_readouts=center_readouts, presentation=facts)
    return read_data_info(member_files(folder)[0].data_info), ensemble.to(device)


def load_ensemble_model_from_remote(
    device: str | torch.device = "cpu", center_readouts: bool = False, report: Report | None = None
) -> tuple[dict[str, Any], EnsembleModel]:
    """Download the published ensemble once, and load it.

    Args:
        device: where to put it.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        report: called with the progress of the download.

    Returns:
        What `data_info` says of the recording, and the ensemble.

    Raises:
        DownloadError: it could not be downloaded.
    """
    settings = packaged_models()[PUBLISHED]
    remote = RemoteCheckpoint.ensemble(PUBLISHED, settings["url"], settings["seeds"])
    return load_ensemble_model_from_directory(fetch(remote, report=report), device, center_readouts)
