"""Models that are objects in memory: a retina of this package, an object of openretina's, or any torch module."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import nn

from openretina_cli.errors import ModelError, OpenRetinaError, SettingError
from openretina_cli.models.core_readout.load import load_core_readout
from openretina_cli.models.facts import Presentation
from openretina_cli.models.retina import Retina

log = logging.getLogger(__name__)

CHECKPOINT = {"hyper_parameters", "state_dict"}
"""Entries of a Lightning checkpoint that make a model."""
SAME = 1e-4
"""Largest difference of two implementations of one network, as a share of the largest response: float32 rounding of
four layers is 1e-6 of it, a part that is missing changes it by 1e-2 and more."""
TRIED_FRAMES = 60
"""Stimulus frames of the comparison; published core + readout models drop up to 49."""


def kind_of(made: object) -> str:
    """The class of an object, as `_target_` would name it."""
    cls = made if isinstance(made, type) else type(made)
    return f"{cls.__module__}.{cls.__qualname__}"


def in_memory(
    of: str, token: str, device: torch.device, stimulus_range: Any = None, model: Retina | None = None
) -> Retina:
    """The retina that a caller holds; a copy where it is on another device.

    Args:
        of: its class, for records.
        token: differs from call to call, as nothing tells whether an object of another process was the same.
        device: where it is wanted.
        stimulus_range: of its facts; constraints refer to it.
        model: the retina; None in a record that is read again.

    Raises:
        ModelError: a record names an object that was in another process's memory.
    """
    del token, stimulus_range
    if model is None:
        raise ModelError(f"the model was a {of} in memory, which no record holds", repair="model=NAME, or model.path")
    elsewhere = any(weights.device != device for weights in model.parameters())
    return copy.deepcopy(model) if elsewhere else model


def checkpoint_model(checkpoint: Mapping[str, Any], name: str) -> Retina:
    """The core + readout model of a Lightning checkpoint that is loaded already, see `load_core_readout`.

    Raises:
        ModelError: it is not a checkpoint of that family.
    """
    if CHECKPOINT - checkpoint.keys():
        raise ModelError(f"model={name} is a mapping without {', '.join(sorted(CHECKPOINT - checkpoint.keys()))}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ckpt"
        torch.save({"pytorch-lightning_version": "2.0.0", **{key: checkpoint[key] for key in CHECKPOINT}}, path)
        try:
            return load_core_readout(path, presentation=Presentation(name, source=f"{name} in memory"))
        except ModelError as error:
            text = error.problem.replace(f"{path}: ", "")
            raise ModelError(text, expected=error.expected, repair=error.repair) from error


def _own_form(model: nn.Module) -> Retina | None:
    """An object of openretina's core + readout family in this package's classes, which are faster; None if it differs.

    Both are asked about one stimulus, since a subclass or a hook may change what the weights say.
    """
    name = type(model).__name__
    if not type(model).__module__.startswith("openretina.") or not hasattr(model, "hparams"):
        return None
    entries = {"hyper_parameters": dict(vars(model).get("_hparams", {})), "state_dict": model.state_dict()}
    try:
        made = checkpoint_model(entries, name)
        asked = _copied(model).cpu().eval()
        facts = made.facts
        shape = (1, len(facts.channels), TRIED_FRAMES, facts.height, facts.width)
        stimulus = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            pairs = [(made(stimulus, key), asked(stimulus, data_key=key)) for key in facts.sessions]
        same = all(bool((a - b).abs().max() <= SAME * b.abs().max()) for a, b in pairs)
    except (OpenRetinaError, RuntimeError, TypeError, ValueError) as error:
        log.info("%s is used as a plain module: %s", name, error)
        return None
    return made if same else None


def _copied(module: nn.Module) -> nn.Module:
    """A copy, since a run freezes its model and moves it to its device.

    Tensors that a forward pass left in attributes, as openretina's layers do with their kernels, are copied as numbers:
    deepcopy refuses those that carry a graph.

    Raises:
        ModelError: the module cannot be copied.
    """
    parts = [{**vars(part), **part._buffers} for part in module.modules()]
    left = [value for part in parts for value in part.values() if isinstance(value, torch.Tensor) and value.grad_fn]
    memo: dict[int, Any] = {id(value): value.detach().clone() for value in left}
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # whatever a user's module raises
        problem = f"the module cannot be copied: {type(error).__name__}: {error}"
        raise ModelError(problem, expected="one that copy.deepcopy takes") from error


def _found_facts(module: nn.Module) -> dict[str, Any]:
    """The settings of `model=torch_module` that an object states as openretina's models do."""
    found: dict[str, Any] = {}
    owners = [module, *list(getattr(module, "members", []))[:1]]
    shape = next((owner.stimulus_shape for owner in owners if callable(getattr(owner, "stimulus_shape", None))), None)
    if shape is not None:
        _, channels, _, height, width = shape(time_steps=1)
        names = [f"channel_{index}" for index in range(channels)] if channels > 1 else ["grey"]
        found = {"height": int(height), "width": int(width), "channels": names}
    readout = next((owner.readout for owner in owners if hasattr(owner, "readout")), None)
    if isinstance(readout, nn.ModuleDict):
        found["sessions"] = list(readout.keys())
    return found


Parts = tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]
"""Settings that choose and describe a model, nodes that stand for it in records, and arguments that are objects."""


def parts_of(model: object, stated: Sequence[str]) -> Parts:
    """What a run needs of a model in memory.

    Args:
        model: a `Retina`, a checkpoint that is loaded, or a torch module.
        stated: names of the settings that the caller states.

    Raises:
        ModelError: it is none of these, or cannot be copied.
        SettingError: a setting states otherwise what the model states itself.
    """
    kind, token = kind_of(model), uuid4().hex
    if isinstance(model, Mapping):
        model = checkpoint_model(model, "checkpoint")
    if not isinstance(model, nn.Module):
        raise ModelError(f"model is a {kind}", expected="a torch module, a name or path, or a loaded checkpoint")
    retina = model if isinstance(model, Retina) else _own_form(model)
    if retina is None:
        found = {key: value for key, value in _found_facts(model).items() if f"model.{key}" not in stated}
        return (
            {"model": "torch_module", **{f"model.{key}": value for key, value in found.items()}},
            {"model.module": {"of": kind, "token": token}},
            {"module": _copied(model)},
        )
    if own := next((name for name in stated if name.startswith("model.")), None):
        raise SettingError(f"{own} does not fit a {kind} in memory, which states its own facts", repair=f"no {own}")
    pairs = retina.facts.stimulus_range
    limits = None if pairs is None else [list(pair) for pair in pairs]
    node = {"_target_": f"{__name__}.in_memory", "of": kind, "token": token, "stimulus_range": limits}
    return {}, {"model": node}, {"model": retina}
