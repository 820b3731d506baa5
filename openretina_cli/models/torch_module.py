"""`model=torch_module`: any torch module of a user, with its facts stated in the settings."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from openretina_cli.checks import require
from openretina_cli.errors import SettingError
from openretina_cli.models.facts import Presentation
from openretina_cli.models.held_weights import digest_of_weights
from openretina_cli.models.module import ModuleRetina, Stated
from openretina_cli.models.module_members import ensemble_of
from openretina_cli.models.retina import Retina
from openretina_cli.models.weights_file import fill
from openretina_cli.models.wrap import wrap_module


def torch_module(
    module: Any,
    height: Annotated[int, "18"],
    width: Annotated[int, "16"],
    channels: Annotated[list[str], "[green,uv]"],
    frames: int,
    device: torch.device,
    weights: str | list[str] | None = None,
    static: bool = False,
    sessions: list[str] | None = None,
    session_argument: str = "data_key",
    inputs: dict[str, Any] | None = None,
    output: int | str | None = None,
    response_axes: list[str] | None = None,
    response_stride: int | None = None,
    frame_rate: float | None = None,
    pixel_size: float | None = None,
    stimulus_range: Any = None,
    note: str = "",
) -> Retina:
    """Make a retina of a module.

    Args:
        module: see `ModuleRetina`.
        height: stimulus height in pixels.
        width: stimulus width in pixels.
        channels: colour channel names, in the order of the stimulus' channel axis.
        frames: stimulus frames that the module is tried on.
        device: where to put it.
        weights: file with the module's state dict, see `weights_file`; several files make an ensemble of as many
            members, whose responses are averaged; None keeps the module's own.
        static: whether it takes images.
        sessions: names of its sessions; None takes the keys of its readout, or passes none.
        session_argument: see `Stated`, as the following.
        inputs: fixed values of other inputs.
        output: position or key of the responses.
        response_axes: names of the response's axes.
        response_stride: stimulus frames from one response frame to the next.
        frame_rate: Hz.
        pixel_size: um per pixel edge.
        stimulus_range: lowest and highest value per channel, z-scored.
        note: see `ModelFacts`.

    Raises:
        ModelError: the module raises, or answers with an unexpected shape; or its weights do not fit.
        SettingError: a value is out of range, or the module is none.
    """
    kind = type(module)
    target = f"{kind.__module__}.{kind.__qualname__}"
    if not isinstance(module, nn.Module):
        raise SettingError(f"model.module: {target} is no Module", repair="model.module._target_=my_package.MyRetina")
    require(height >= 1, "height", height, "1 or more pixels")
    require(width >= 1, "width", width, "1 or more pixels")
    require(session_argument.isidentifier(), "session_argument", session_argument, "a name")
    axes = None if response_axes is None else sorted(response_axes)
    known = axes is None or axes in (["batch", "neuron", "time"], ["batch", "time"], ["batch", "neuron"])
    require(known, "response_axes", response_axes, "an order of [batch,time,neuron], of which one may be left out")
    stride = response_stride
    require(stride is None or stride >= 1, "response_stride", stride, "1 or more stimulus frames")
    stated = Presentation(kind.__name__, channels, frame_rate, pixel_size, stimulus_range, target, note=note)
    call = Stated(static, sessions, session_argument, response_axes, response_stride, output, inputs or {})
    files = [None] if weights is None else [weights] if isinstance(weights, str) else weights
    require(bool(files), "weights", weights, "one file or more")

    def filled(own: nn.Module, file: str | None) -> ModuleRetina:
        taken: list[str] = []
        if file is not None:
            fill(own, Path(file).expanduser(), taken.append)
        found = {"sessions": {}, "height": height, "width": width, "lag": 0, "sha256": digest_of_weights(own)}
        retina = wrap_module(own, stated.facts(len(channels), **found), call, frames=frames, device=device)
        for warning in taken:
            retina.warn(warning)
        return retina

    if len(files) == 1:
        return filled(module, files[0])
    return ensemble_of([filled(deepcopy(module), file) for file in files])
