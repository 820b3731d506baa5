"""Any torch module as a model of a retina: its facts stated, or found by trying it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.probe import probe_stimulus
from openretina_cli.models.twin import Retina, the_session

ONLY_SESSION = "default"
"""What the session of a module without session names is called."""


class ModuleRetina(Retina):
    """A user's module behind the interface of a retina.

    Args:
        module: `forward(stimulus)` or `forward(stimulus, data_key=session)`, on `(batch, channel, time, height, width)`
            or, when static, on images `(batch, channel, height, width)`. It answers `(batch, time, neuron)`, or
            `(batch, neuron)`, which is taken as one response frame at the stimulus' last frame.
        facts: what is known about it; `sessions` and `lag` may still be unknown.
        static: whether it takes images.
        sessions: names to pass as `data_key`; None passes none.
    """

    def __init__(self, module: nn.Module, facts: ModelFacts, *, static: bool, sessions: Sequence[str] | None) -> None:
        super().__init__()
        self.module = module
        self.facts = facts
        self.static = static
        self.sessions = sessions
        self.freeze()

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time - lag, neuron)` to `(batch, channel, time, height, width)`."""
        seen = stimulus[:, :, 0] if self.static else stimulus
        session = {} if self.sessions is None else {"data_key": the_session(self.sessions, data_key)}
        response: Tensor = self.module(seen, **session)
        if not isinstance(response, Tensor):
            raise ModelError(f"the module answers with a {type(response).__name__}", expected="a tensor")
        return response[:, None] if response.dim() == 2 else response


def _session_names(module: nn.Module, stated: Sequence[str] | None) -> Sequence[str] | None:
    """The names to pass as `data_key`, or None if the module takes none."""
    if "data_key" not in inspect.signature(module.forward).parameters:
        return None
    if stated is not None:
        return stated
    readout = getattr(module, "readout", None)
    if isinstance(readout, nn.ModuleDict):
        return list(readout.keys())
    raise ModelError("the module's forward takes a data_key", repair="model.sessions=[name_of_a_session]")


def _response_shape(retina: ModuleRetina, session: str, frames: int, device: torch.device) -> tuple[int, int]:
    try:
        with torch.no_grad():
            shape = tuple(retina(probe_stimulus(retina, frames, device), data_key=session).shape)
    except ModelError:
        raise
    except Exception as error:  # whatever a stranger's module raises
        kind = "an image" if retina.static else f"a stimulus of {frames} frames"
        raise ModelError(
            f"the module failed on {kind}: {type(error).__name__}: {error}",
            expected="(batch, channel, time, height, width) to (batch, time, neuron)",
        ) from error
    if len(shape) != 3 or shape[0] != 1 or not 1 <= shape[1] <= frames or shape[2] < 1:
        raise ModelError(
            f"the module answers {frames} frames with shape {shape}",
            expected="(batch, time, neuron), no longer in time",
        )
    return shape[1], shape[2]


def wrap_module(
    module: nn.Module,
    facts: ModelFacts,
    *,
    frames: int,
    static: bool,
    sessions: Sequence[str] | None,
    device: torch.device,
) -> ModuleRetina:
    """Make a retina of a module, and find its sessions, neurons and lag by trying it.

    Args:
        module: see `ModuleRetina`.
        facts: what is stated about it; its `sessions` and `lag` are replaced by what is found.
        frames: stimulus frames to try it on.
        static: whether it takes images.
        sessions: stated session names.
        device: where to put it.

    Raises:
        ModelError: the module raises, or answers with an unexpected shape.
    """
    if static and frames != 1:
        raise ModelError(f"a static model sees one frame, not {frames}", repair="stimulus.frames=1 reducer=mean")
    names = _session_names(module, sessions)
    retina = ModuleRetina(module, facts, static=static, sessions=names).to(device)
    shapes = {name: _response_shape(retina, name, frames, device) for name in names or sessions or [ONLY_SESSION]}
    lags = {frames - time for time, _ in shapes.values()}
    if len(lags) != 1:
        raise ModelError(f"the sessions of the module drop different numbers of frames: {sorted(lags)}")
    found = {name: neurons for name, (_, neurons) in shapes.items()}
    retina.facts = replace(facts, sessions=found, lag=lags.pop())
    return retina
