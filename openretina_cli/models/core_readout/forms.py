"""The forms that a checkpoint's settings come in: configurations, the flat form of 2025, and spatial contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openretina_cli.errors import ModelError
from openretina_cli.models.core_readout.config import members_of, plain_value
from openretina_cli.models.core_readout.core import Core, read_dummy_core, read_stacked_core
from openretina_cli.models.core_readout.gru import read_gru_core
from openretina_cli.models.core_readout.readout import Readout
from openretina_cli.models.core_readout.readout_reader import (
    Features,
    Session,
    read_contrast,
    read_factorised,
    read_gaussian_masks,
    read_linear,
    read_points,
)
from openretina_cli.models.core_readout.settings import FileSettings
from openretina_cli.models.core_readout.weights import Weights
from openretina_cli.models.foreign_file import shown

CoreReader = Callable[[FileSettings, Weights, int, Sequence[int] | None], Core]
ReadoutReader = Callable[[FileSettings, Weights, Session, Features], Readout]

CORES: dict[str, CoreReader] = {
    "SimpleCoreWrapper": read_stacked_core,
    "ConvGRUCore": read_gru_core,
    "DummyCore": read_dummy_core,
}
READOUTS: dict[str, ReadoutReader] = {
    "MultiGaussianMaskReadout": read_gaussian_masks,
    "MultiGaussianReadoutWrapper": read_gaussian_masks,
    "MultiSampledGaussianReadout": read_points,
    "MultiSampledGaussianReadoutWrapper": read_points,
    "MultiFactorizedReadout": read_factorised,
    "MultipleLNPReadout": read_linear,
    "MultiSpatialContrastReadout": read_contrast,
}
"""What the class that a `_target_` names is built by; nothing else of a `_target_` is used."""

MAX_NEURONS = 10_000_000


@dataclass(frozen=True)
class Form:
    """The settings of a model, with its classes known.

    Attributes:
        core: builds the core.
        core_settings: its settings.
        readout: builds one session's readout.
        readout_settings: its settings.
        in_shape: `(channel, time, height, width)` of the stimuli that it was made for.
        hidden: channels of the layers, or None where the core's settings state them.
        neurons: number of neurons by session, in the file's order.
    """

    core: CoreReader
    core_settings: FileSettings
    readout: ReadoutReader
    readout_settings: FileSettings
    in_shape: tuple[int, int, int, int]
    hidden: Sequence[int] | None
    neurons: Mapping[str, int]


def _in_shape(settings: FileSettings) -> tuple[int, int, int, int]:
    shape = settings.wholes("in_shape", high=2**31)
    if len(shape) != 4:
        raise ModelError(f"in_shape has {len(shape)} numbers", expected="channels, frames, rows and columns")
    return shape[0], shape[1], shape[2], shape[3]


def _neurons(entries: Mapping[str, Any]) -> dict[str, int]:
    found = plain_value(entries.get("n_neurons_dict"), "n_neurons_dict")
    if not isinstance(found, dict) or not found:
        raise ModelError("the checkpoint lacks the setting n_neurons_dict", expected="neurons by session")
    for name, count in found.items():
        if not name or not name.isprintable() or len(name) > 200:
            raise ModelError(f"a session is called {shown(repr(name))}", expected="a short name that can be printed")
        if type(count) is not int or not 1 <= count <= MAX_NEURONS:
            raise ModelError(f"session {name} has {shown(str(count))} neurons", expected=f"1 to {MAX_NEURONS}")
    return found


def _form(
    entries: Mapping[str, Any],
    core: tuple[CoreReader, Mapping[str, Any]],
    readout: tuple[ReadoutReader, Mapping[str, Any]],
) -> Form:
    """A form with the settings that all have in common."""
    settings = FileSettings(entries, "hyper_parameters")
    hidden = None if settings.value("hidden_channels", None) is None else settings.wholes("hidden_channels")
    parts = core[0], FileSettings(core[1], "core"), readout[0], FileSettings(readout[1], "readout")
    return Form(*parts, _in_shape(settings), hidden, _neurons(entries))


def _class_of(entries: Mapping[str, Any], part: str, known: Mapping[str, Any]) -> str:
    """The name of a part's class."""
    settings = FileSettings(entries, part)
    target = settings.value("_target_")
    if not isinstance(target, str):
        raise settings.refuse("_target_", "the name of a class")
    module, _, name = target.rpartition(".")
    if name not in known or not module.startswith("openretina."):
        raise ModelError(
            f"the {part} is of the class {shown(target)}, which is not known",
            expected=", ".join(known),
            repair="model=torch_module",
        )
    return name


def _unified(entries: Mapping[str, Any]) -> Form:
    """The form since the end of 2025: a configuration for each part."""
    core, readout = (members_of(entries[part]) or {} for part in ("core", "readout"))
    core_class, readout_class = _class_of(core, "core", CORES), _class_of(readout, "readout", READOUTS)
    form = _form(entries, (CORES[core_class], core), (READOUTS[readout_class], readout))
    for settings in (form.core_settings, form.readout_settings):
        settings.ignore("_target_", "_convert_", "_recursive_", "_partial_")
    return form


FLAT_CORE = {
    "core_input_padding": "input_padding",
    "core_hidden_padding": "hidden_padding",
    "cut_first_n_frames_in_core": "cut_first_n_frames",
    **{same: same for same in ("temporal_kernel_sizes", "spatial_kernel_sizes", "maxpool_every_n_layers")},
    **{same: same for same in ("downsample_input_kernel_size", "convolution_type", "color_squashing_weights")},
}
FLAT_READOUT = {
    "readout_gaussian_mean_scale": ("gaussian_mean_scale", 6.0),
    "readout_gaussian_var_scale": ("gaussian_var_scale", 4.0),
    "readout_positive": ("positive", True),
}
"""The flat form's names of settings, and the defaults of those that may be missing."""


def _flat(entries: Mapping[str, Any]) -> Form:
    """The form of 2025: every setting by itself; modules that are pickled beside them are not looked at."""
    core = {name: entries[flat] for flat, name in FLAT_CORE.items() if flat in entries}
    readout = {name: entries.get(flat, default) for flat, (name, default) in FLAT_READOUT.items()}
    return _form(entries, (read_stacked_core, core), (read_gaussian_masks, readout))


def _contrast(entries: Mapping[str, Any]) -> Form:
    """The settings of `SpatialContrastCoreReadout`."""
    core = {"cut_first_n_frames": entries.get("cut_first_n_frames", 0)}
    return _form({**entries, "hidden_channels": None}, (read_dummy_core, core), (read_contrast, {}))


def read_form(hyper_parameters: object) -> Form:
    """Recognise the form of a checkpoint's settings.

    Raises:
        ModelError: they are missing, of an unknown form, or a class that they name is not known.
    """
    entries = members_of(hyper_parameters)
    if entries is None:
        raise ModelError(
            "the file holds no hyper_parameters, so that the model cannot be rebuilt from it",
            expected="a core + readout checkpoint",
            repair="model=torch_module",
        )
    if members_of(entries.get("core")) is not None and members_of(entries.get("readout")) is not None:
        return _unified(entries)
    if "spat_crop_size" in entries:
        raise ModelError(
            "this is a single-cell model, whose file does not say which pixels it sees",
            expected="a core + readout checkpoint",
            repair="model=torch_module",
        )
    if "temporal_crop_frames" in entries and "n_neurons_dict" in entries:
        return _contrast(entries)
    if "temporal_kernel_sizes" in entries:
        return _flat(entries)
    raise ModelError(
        f"the settings of the model are of no known form: {shown(', '.join(entries))}",
        expected="core and readout",
        repair="model=torch_module",
    )
