"""Options of `model=...` in the published layout: in a folder, on a server, or as it comes with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from openretina_cli.checks import neuron_list
from openretina_cli.models.directory import load_ensemble
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.facts import Presentation
from openretina_cli.models.twin import EnsembleModel
from openretina_cli.store.package import PACKAGE


def ensemble(
    name: str = "",
    path: Annotated[str | None, "FOLDER"] = None,
    url: str | None = None,
    seeds: list[int] | None = None,
    members: list[int] | None = None,
    center_readouts: bool = False,
    channels: list[str] | None = None,
    frame_rate: float | None = None,
    pixel_size: float | None = None,
    stimulus_range: Any = None,
    note: str = "",
    report: Report | None = None,
) -> EnsembleModel:
    """An ensemble in a folder, from a server, or in the package.

    Args:
        name: what the model is called, and its folder in the package or in the cache.
        path: the folder of an ensemble of the user's, which is named after it.
        url: where the files are, if they are downloaded.
        seeds: seeds in the names of the files to download.
        members: positions of the members to use; None means all.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        channels: colour channel names; None names them by number.
        frame_rate: Hz.
        pixel_size: um per pixel edge.
        stimulus_range: lowest and highest value per channel, z-scored.
        note: see `ModelFacts`.
        report: called with the progress of a download.

    Raises:
        ModelError: the checkpoint is missing, broken or hostile.
        DownloadError: a file could not be downloaded.
        SettingError: a value is out of range.
    """
    if members is not None:
        neuron_list("members", members)
    stated = Presentation(name, channels, frame_rate, pixel_size, stimulus_range, note=note)
    if path is not None:
        directory = Path(path).expanduser()
        stated = replace(stated, name=directory.resolve().name)
    elif url is not None:
        directory = fetch(RemoteCheckpoint.ensemble(name, url, seeds or ()), report=report)
        stated = replace(stated, source=url)
    else:
        directory = PACKAGE / name
        stated = replace(stated, source=f"{PACKAGE.name}/{name}")
    return load_ensemble(directory, members=members, center_readouts=center_readouts, presentation=stated)
