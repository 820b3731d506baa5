"""Any torch module as a model of a retina."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.arguments import CallForm, Signature
from openretina_cli.models.axes import Reading
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Ensemble, Retina, the_session
from openretina_cli.models.state import ModuleState

MOST_OUTPUTS = 10
"""Outputs that an error lists at most."""


@dataclass(frozen=True)
class Stated:
    """What the user states about a module.

    Attributes:
        static: whether it takes images.
        sessions: names of its sessions; None finds them.
        session_argument: name under which `forward` takes the session.
        axes: names of the response's axes; None reads them from shapes.
        stride: stimulus frames from one response frame to the next; None reads it from shapes.
        output: position or key of the responses where the module answers with several things.
        inputs: fixed values of what `forward` takes beside stimulus and session.
    """

    static: bool = False
    sessions: Sequence[str] | None = None
    session_argument: str = "data_key"
    axes: Sequence[str] | None = None
    stride: int | None = None
    output: int | str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)


def _described(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _parts(answer: object) -> dict[int | str, Any]:
    """The things that an answer consists of, by position or key; empty where it has no parts."""
    if isinstance(answer, Mapping):
        return dict(answer)
    parts: dict[int | str, Any] = {}
    if isinstance(answer, (list, tuple)):
        parts.update(enumerate(answer))
    names = getattr(answer, "_fields", ()) or getattr(answer, "__dataclass_fields__", ())
    return {**parts, **{name: getattr(answer, name) for name in names}}


def chosen_output(answer: object, output: int | str | None) -> Tensor:
    """The responses in what a module answers.

    Args:
        answer: a tensor, or a tuple, mapping or dataclass.
        output: position or key of the responses in it.

    Raises:
        ModelError: the output is not there, is no tensor, or is not stated where there are several.
    """
    if isinstance(answer, Tensor):
        if output is None:
            return answer
        raise ModelError(f"model.output={output}, but the module answers with a tensor", repair="model.output=null")
    parts = _parts(answer)
    if output is not None and isinstance(parts.get(output), Tensor):
        tensor: Tensor = parts[output]
        return tensor
    listed = ", ".join(f"{key}: {_described(part)}" for key, part in list(parts.items())[:MOST_OUTPUTS])
    choice = next((key for key, part in parts.items() if isinstance(part, Tensor)), None)
    raise ModelError(
        f"the module answers with a {type(answer).__name__}" + (f" of {listed}" if listed else ""),
        expected="a tensor" if output is None else f"a tensor at model.output={output}",
        repair="" if choice is None else f"model.output={choice}",
    )


class ModuleRetina(Retina):
    """A user's module behind the interface of a retina.

    Args:
        module: see `wrap.wrap_module`.
        facts: what is known about it.
        stated: what the user states about it.
        sessions: names that are passed as its session argument; None passes none.

    Attributes:
        form: how the module is called.
        reading: where its responses have their axes.
        clones: whether it is given a clone, because it changes its input in place.
        alone: whether it is given one stimulus at a time, because rows of a batch depend on each other.
        fresh: the state it is given before each call, because it carries one from call to call.
        examiner: makes it a function of each stimulus alone for a session, once; see `wrap.Wrapping.examine`.
        wrap_alike: makes a retina of another module that is called as this one is, such as one of its members.
    """

    def __init__(
        self, module: nn.Module, facts: ModelFacts, stated: Stated, signature: Signature, sessions: Sequence[str] | None
    ) -> None:
        super().__init__()
        self.module = module
        self.facts = facts
        self.stated = stated
        self.signature = signature
        self.sessions = sessions
        self.form = CallForm(torch.float32, {})
        self.reading: Reading | None = None
        self.clones = False
        self.alone = False
        self.fresh: ModuleState | None = None
        self.examiner: Callable[[str], Tensor | None] | None = None
        self.wrap_alike: Callable[[nn.Module], ModuleRetina] | None = None
        self.freeze()

    def answer(self, stimulus: Tensor, session: str | None) -> Tensor:
        """Calls the module once; the response is in the module's own axes, with the dtype of the stimulus."""
        if self.fresh is not None:
            self.fresh.restore()
        seen = (stimulus[:, :, 0] if self.stated.static else stimulus).to(self.form.dtype)
        if self.clones:
            seen = seen.clone()
        values = self.form.inputs(self.stated.inputs, seen, stimulus.shape[2])
        if session is not None:
            values[self.stated.session_argument] = session
        arguments, named = self.signature.placed(values)
        with warnings.catch_warnings():
            if not torch.is_grad_enabled():  # a checkpointed module warns where no gradient is computed
                warnings.filterwarnings("ignore", "None of the inputs have requires_grad")
            answer = self.module(seen, *arguments, **named)
        return chosen_output(answer, self.stated.output).to(stimulus.dtype)

    def examine(self, session: str) -> None:
        """Make the module a function of each stimulus alone for a session, once.

        Raises:
            ModelError: it cannot be made one.
        """
        if self.examiner is not None:
            self.examiner(session)

    def apart(self) -> Ensemble | None:
        """The members of the module, where it has an `nn.ModuleList` called `members`; see `module_members`.

        Raises:
            ModelError: a member cannot be called as the module is, or the response is not the mean of theirs.
        """
        from openretina_cli.models.module_members import members_apart  # which is written in terms of this class

        return members_apart(self)

    def named(self, data_key: str | None) -> str | None:
        """The session to pass to the module; None passes none."""
        return None if self.sessions is None else the_session(self.sessions, data_key)

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        """Responses `(batch, time, neuron)` to `(batch, channel, time, height, width)`."""
        if self.reading is None:
            raise ModelError("the module was not tried yet", expected="a retina made by wrap_module")
        session = self.named(data_key)
        rows = [row[None] for row in stimulus] if self.alone else [stimulus]
        return torch.cat([self.reading.ordered(self.answer(row, session)) for row in rows])
