"""Options of `model=...` in the published layout: in a folder, on a server, or as it comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from openretina_cli.checks import neuron_list, positive, range_pairs
from openretina_cli.models.directory import Presentation, load_ensemble
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.twin import EnsembleModel
from openretina_cli.web_address import check_web_address

PACKAGE = Path(__file__).resolve().parent.parent


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
    if url is not None:
        check_web_address(url, "model.url")
    positive("frame_rate", frame_rate)
    positive("pixel_size", pixel_size)
    if members is not None:
        neuron_list("members", members)
    if path is not None:
        directory, source = Path(path).expanduser(), ""
        name = directory.resolve().name
    elif url is not None:
        directory, source = fetch(RemoteCheckpoint.ensemble(name, url, seeds or ()), report=report), url
    else:
        directory, source = PACKAGE / name, f"{PACKAGE.name}/{name}"
    presentation = Presentation(
        name=name,
        channels=None if channels is None else tuple(channels),
        frame_rate=frame_rate,
        pixel_size=pixel_size,
        stimulus_range=range_pairs("stimulus_range", stimulus_range),
        source=source,
        note=note,
    )
    return load_ensemble(directory, members=members, center_readouts=center_readouts, presentation=presentation)
