"""Loads ensembles in the published layout: a folder with a config, a data_info and a state_dict for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from openretina_cli.checks import neuron_list
from openretina_cli.errors import ModelError
from openretina_cli.models.architecture import read_architecture
from openretina_cli.models.download import RemoteCheckpoint, Report, fetch
from openretina_cli.models.facts import Presentation
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.member_files import MemberFiles, ensemble_directory, member_files
from openretina_cli.models.safe_files import read_config, read_data_info, read_state_dict
from openretina_cli.models.twin import EnsembleModel, Twin
from openretina_cli.store.digest import sha256_of
from openretina_cli.store.package import PACKAGE

REGULARISER_BUFFERS = ("core._input_weights_regularizer_spatial.", "core._input_weights_regularizer_temporal.")
"""Constants of the training penalties, which published state dicts carry along."""


@dataclass(frozen=True)
class Recording:
    """What `data_info` says of the recording a member was trained on.

    Attributes:
        field: `(channel, height, width)` of the stimulus.
        sessions: number of neurons by session.
        groups: cell-type group of every neuron by session, where given.
        group_names: what the groups are called, where given.
    """

    field: tuple[int, int, int]
    sessions: Mapping[str, int]
    groups: Mapping[str, tuple[int, ...]]
    group_names: Mapping[int, str]


MAX_SESSIONS = 1000
"""Sessions of one recording; the published ensemble has some 70."""

MAX_NEURONS = 10**6
"""Neurons of one session."""

MAX_PIXELS = 4096
"""Pixels along one side of the stimulus, and colour channels; kernels have the same bound."""

MAX_NAME = 100
"""Characters of a session's or cell type's name, which tables, titles and folders show."""


def _whole(value: object, lowest: int, highest: int) -> int:
    """A whole number out of a file.

    Raises:
        ValueError: the value is something else, or out of bounds.
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    if not isinstance(value, (int, np.integer)) or not lowest <= int(value) <= highest:
        raise ValueError(f"{shown(repr(value), 40)} is no whole number from {lowest} to {highest}")
    return int(value)


def _name(value: object) -> str:
    name = str(value) if isinstance(value, (str, int, np.integer)) else ""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"{shown(repr(value), 40)} is no name of 1 to {MAX_NAME} printable characters")
    return name


def _field(info: Mapping[str, Any]) -> tuple[int, int, int]:
    channels, _, height, width = info["input_dimensions"][-4:]
    return _whole(channels, 1, MAX_PIXELS), _whole(height, 1, MAX_PIXELS), _whole(width, 1, MAX_PIXELS)


def _groups(info: Mapping[str, Any], neurons: int) -> tuple[int, ...]:
    groups = [_whole(group, -(2**31), 2**31) for group in np.asarray(info["group_assignment"]).ravel()]
    if len(groups) != neurons:
        raise ValueError(f"{len(groups)} groups for {neurons} neurons")
    return tuple(groups)


def _recording(data_info: Mapping[str, Any]) -> Recording:
    if not 1 <= len(data_info) <= MAX_SESSIONS:
        raise ValueError(f"{len(data_info)} sessions, of at most {MAX_SESSIONS}")
    fields = {_field(info) for info in data_info.values()}
    sessions = {_name(name): _whole(info["output_dimension"], 1, MAX_NEURONS) for name, info in data_info.items()}
    groups = {name: _groups(info, sessions[name]) for name, info in data_info.items() if "group_assignment" in info}
    tables = [info["group_names"] for info in data_info.values() if "group_names" in info]
    group_names = {_whole(key, -(2**31), 2**31): _name(name) for table in tables for key, name in table.items()}
    if len(fields) != 1:
        raise ValueError("the sessions have stimuli of different sizes")
    return Recording(fields.pop(), sessions, groups, group_names)


def read_recording(path: Path) -> Recording:
    """Read a `data_info` file.

    Raises:
        ModelError: the file cannot be read, does not say what the published ones say, or says numbers out of bounds.
    """
    data_info = read_data_info(path)
    try:
        return _recording(data_info)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path.name} is not a published data_info ({type(error).__name__}: {shown(str(error))})",
            expected="input_dimensions and output_dimension for each session",
        ) from error


def _float32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    kept = {name: w for name, w in weights.items() if not name.startswith(REGULARISER_BUFFERS)}
    return {name: w.float() if w.is_floating_point() else w for name, w in kept.items()}


def load_member(files: MemberFiles, recording: Recording) -> Twin:
    """Build one twin and fill it with its weights, which may have been saved on any device.

    Raises:
        ModelError: a file cannot be read, or its weights do not fit the architecture it describes.
    """
    config = read_config(files.config)
    if not isinstance(config.get("model_config"), dict):
        raise ModelError(f"{files.config.name} has no model_config")
    # The meta device allocates nothing, so that sizes stated in an untrusted file cannot exhaust the memory.
    with torch.device("meta"):
        twin = Twin(read_architecture(config["model_config"]), recording.field, recording.sessions)
    try:
        twin.load_state_dict(_float32(read_state_dict(files.state_dict)), assign=True)
    except RuntimeError as error:
        first = [line.strip() for line in str(error).splitlines() if line.strip()][1:2]
        problem = f"{files.state_dict.name} does not fit {files.config.name}: {shown(' '.join(first))}"
        raise ModelError(problem) from error
    for readout in twin.readouts.values():
        readout.project()
    return twin


def load_ensemble(
    directory: Path,
    *,
    members: Sequence[int] | None = None,
    center_readouts: bool = False,
    presentation: Presentation | None = None,
) -> EnsembleModel:
    """Load an ensemble in the published layout; nothing in its files is executed.

    Args:
        directory: the checkpoint's folder.
        members: positions of the members to use; None means all.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        presentation: facts that the files leave out.

    Returns:
        The ensemble on the CPU, frozen, with its facts.

    Raises:
        ModelError: the folder or a file in it is missing, broken, hostile or unsupported.
    """
    stated = presentation or Presentation()
    files = member_files(directory, members)
    recordings = [read_recording(member.data_info) for member in files]
    if any((r.field, dict(r.sessions)) != (recordings[0].field, dict(recordings[0].sessions)) for r in recordings):
        raise ModelError(f"the members in {directory} were trained on different recordings")
    recording = recordings[0]
    twins = [load_member(member, recording) for member in files]
    lags = {twin.architecture.lag for twin in twins}
    if len(lags) != 1:
        raise ModelError(f"the members in {directory} drop different numbers of frames: {sorted(lags)}")
    if center_readouts:
        for readout in (readout for twin in twins for readout in twin.readouts.values()):
            readout.center()
    channels, height, width = recording.field
    facts = stated.facts(
        channels,
        sessions=recording.sessions,
        height=height,
        width=width,
        lag=lags.pop(),
        members=len(twins),
        groups=recording.groups,
        group_names=recording.group_names,
        source=stated.source or str(directory),
        sha256=sha256_of([path for member in files for path in member]),
    )
    return EnsembleModel(twins, facts)


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
    directory = ensemble_directory({"path": path, "url": url, "name": name, "seeds": seeds})
    if path is not None:
        stated = replace(stated, name=directory.resolve().name)
    elif url is not None:
        fetch(RemoteCheckpoint.ensemble(name, url, seeds or ()), report=report)
        stated = replace(stated, source=url)
    else:
        stated = replace(stated, source=f"{PACKAGE.name}/{name}")
    return load_ensemble(directory, members=members, center_readouts=center_readouts, presentation=stated)
