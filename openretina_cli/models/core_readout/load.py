"""From files to a core + readout model; nothing in the files is executed or imported."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.config import members_of
from openretina_cli.models.core_readout.forms import Form, read_form
from openretina_cli.models.core_readout.info import Info, read_info
from openretina_cli.models.core_readout.model import CoreReadoutModel, Member
from openretina_cli.models.core_readout.readout_reader import Features, Session
from openretina_cli.models.core_readout.records import read_checkpoint
from openretina_cli.models.core_readout.weights import Weights
from openretina_cli.models.facts import ModelFacts, Presentation
from openretina_cli.models.foreign_file import one_line_errors
from openretina_cli.models.member_files import chosen_members
from openretina_cli.models.safe_files import PathLike
from openretina_cli.store.digest import sha256_of

MAX_PIXELS = 2**24
"""Pixels of a stimulus frame, over all channels; a file may state any field, and one stimulus of it is made at once."""
SEED_NAME = re.compile(r"seed_(\d+)\.ckpt")
OLD_BIAS = re.compile(r"^(readout\..*\.bias)_param$")
"""What files of 2025 call the bias of a readout."""


@dataclass(frozen=True)
class _Loaded:
    """One file.

    Attributes:
        member: the network.
        info: what the file says about the recording.
        field: `(channel, height, width)` of the stimulus.
        neurons: number of neurons by session.
    """

    member: Member
    info: Info
    field: tuple[int, int, int]
    neurons: Mapping[str, int]

    @property
    def architecture(self) -> tuple[object, ...]:
        """What members of one ensemble must have in common."""
        return self.field, dict(self.neurons), self.member.stride, self.member.lag


def checkpoint_files(path: PathLike | Sequence[PathLike], members: Sequence[int] | None = None) -> list[Path]:
    """The files of a model: one, several, or those of a folder of `seed_*.ckpt`, in the order of their seeds.

    Args:
        path: a file, a folder, or a list of files.
        members: positions of the members to use, in that order; None means all.

    Raises:
        ModelError: the folder holds no member, or a position is out of range.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        found = [Path(single).expanduser() for single in path]
    elif (folder := Path(path).expanduser()).is_dir():
        seeds = ((SEED_NAME.fullmatch(file.name), file) for file in folder.iterdir())
        found = [file for _, file in sorted((int(match[1]), file) for match, file in seeds if match)]
    else:
        found = [folder]
    if not found:
        raise ModelError(f"{path} holds no checkpoint", expected="files such as seed_0.ckpt", repair="model.path=FILE")
    return chosen_members(found, members)


def _field(form: Form, info: Info) -> tuple[int, int, int]:
    """The stimulus' shape; where colours are squashed, `in_shape` has one channel and `data_info` the true number."""
    field = info.shape or (form.in_shape[0], *form.in_shape[2:])
    if math.prod(field) > MAX_PIXELS:
        raise ModelError(f"the stimulus has {field[0]} channels of {field[1]} x {field[2]} pixels, which is too large")
    return field


def _member(form: Form, weights: Weights, field: tuple[int, int, int], centred: bool) -> Member:
    core = form.core(form.core_settings, weights, form.in_shape[0], form.hidden)
    form.core_settings.finish()
    _, height, width = core.output((1, *field[1:]))
    if min(height, width) < 1:
        raise ModelError(f"a stimulus of {field[1]} x {field[2]} pixels is smaller than the model's kernels")
    seen = Features(core.channels, height, width)
    form.readout_settings.ignore("in_shape")  # where it differs from what the core makes, the weights do not fit
    first = next(iter(form.neurons))
    sessions = [Session(name, count, first, centred) for name, count in form.neurons.items()]
    readouts = {s.name: form.readout(form.readout_settings, weights, s, seen) for s in sessions}
    form.readout_settings.finish()
    weights.finish()
    if len({readout.lag for readout in readouts.values()}) != 1:
        raise ModelError("the sessions drop different numbers of frames", expected="temporal filters of one length")
    return Member(core, readouts)


def _built(entries: Mapping[str, Any], centred: bool) -> _Loaded:
    form = read_form(entries.get("hyper_parameters"))
    info = read_info((members_of(entries["hyper_parameters"]) or {}).get("data_info"), form.neurons)
    state = members_of(entries["state_dict"])
    if state is None:
        raise ModelError("the state dict is no mapping from names", expected="weights by name")
    weights = Weights({OLD_BIAS.sub(r"\1", name): value for name, value in state.items()})
    field = _field(form, info)
    return _Loaded(_member(form, weights, field, centred), info, field, form.neurons)


def _load(path: Path, centred: bool) -> _Loaded:
    entries = read_checkpoint(path)
    try:
        with one_line_errors(path, "checkpoint"):
            return _built(entries, centred)
    except ModelError as error:
        raise ModelError(f"{path}: {error.problem}", expected=error.expected, repair=error.repair) from error


def _mean_quality(members: Sequence[_Loaded]) -> dict[str, tuple[float | None, ...]]:
    """Quality of every neuron, averaged over the members that all state it."""
    found = {}
    for session in members[0].neurons:
        columns = [member.info.quality[session] for member in members if session in member.info.quality]
        if len(columns) == len(members):
            rows = zip(*columns, strict=True)
            found[session] = tuple(None if None in row else math.fsum(row) / len(row) for row in rows)
    return found


def _name(files: Sequence[Path], path: object) -> str:
    """What a model is called: after its file, or the folder of its files."""
    if isinstance(path, (str, os.PathLike)) and (folder := Path(path).expanduser()).is_dir():
        return folder.resolve().name
    return files[0].stem if len(files) == 1 else f"{files[0].stem} and {len(files) - 1} more"


def _facts(members: Sequence[_Loaded], files: Sequence[Path], path: object, stated: Presentation) -> ModelFacts:
    first, info = members[0], members[0].info
    channels, height, width = first.field
    known = None if info.stimulus_range is None else (info.stimulus_range,) * channels
    remarks = [text for name, text in info.remarks.items() if getattr(stated, name) is None]
    own = {"frame_rate": info.frame_rate, "pixel_size": info.pixel_size, "stimulus_range": known}
    return stated.facts(
        channels,
        **{name: value for name, value in own.items() if getattr(stated, name) is None},
        name=stated.name or _name(files, path),
        sessions=first.neurons,
        height=height,
        width=width,
        lag=first.member.lag,
        response_stride=first.member.stride,
        groups=info.groups,
        grey_levels=info.grey_levels,
        quality=_mean_quality(members),
        quality_metric=info.metric,
        species=info.species,
        members=len(members),
        source=stated.source or (", ".join(map(str, path)) if isinstance(path, list) else str(path)),
        sha256=sha256_of(files),
        note=". ".join([*([stated.note] if stated.note else []), *remarks]),
    )


def load_core_readout(
    path: PathLike | Sequence[PathLike],
    members: Sequence[int] | None = None,
    center_readouts: bool = False,
    presentation: Presentation | None = None,
) -> CoreReadoutModel:
    """Load a Lightning checkpoint of openretina's core + readout family, or several as an ensemble.

    Args:
        path: a file, a folder of `seed_*.ckpt`, or a list of files.
        members: positions of the members to use; None means all.
        center_readouts: whether every neuron's mask is moved to the middle of the field.
        presentation: facts that take the place of the files' own.

    Returns:
        The model on the CPU, frozen, with its facts.

    Raises:
        ModelError: a file is missing, broken, hostile or unsupported, members differ, or the neurons have no position
            that could be centred.
    """
    files = checkpoint_files(path, members)
    loaded = [_load(file, center_readouts) for file in files]
    for file, other in zip(files, loaded, strict=True):
        if other.architecture != loaded[0].architecture:
            raise ModelError(f"{file} and {files[0]} differ in stimulus, sessions or frames", expected="members alike")
    facts = _facts(loaded, files, path, presentation or Presentation(name=""))
    return CoreReadoutModel([single.member for single in loaded], facts)
