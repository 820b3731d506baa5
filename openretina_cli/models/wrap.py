"""Makes a retina of a user's module: finds how it is called, what it answers, and what it needs to be a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.arguments import CallForm, Signature, call_forms
from openretina_cli.models.axes import AxisReader
from openretina_cli.models.examination import Examination, trial_stimuli
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.module import ModuleRetina, Stated
from openretina_cli.models.seeding import seeded
from openretina_cli.models.state import ModuleState

ONLY_SESSION = "default"
"""What the session of a module without session names is called."""
NO_SESSION = "no_session_of_this_name"
"""A session that no module has."""
STRIDED = (
    "the model answers once in {0} stimulus frames: reducer.start and reducer.length count its response frames, each of"
    " which lasts {0} rows of response.csv"
)
HALF = {torch.float16: 3, torch.bfloat16: 2}
"""Decimal digits of dtypes in which gradients are coarse."""


def _names_of_readouts(module: nn.Module) -> Sequence[str] | None:
    """The keys of a module dictionary called `readout`, also inside wrappers with one submodule."""
    readout = getattr(module, "readout", None)
    if isinstance(readout, nn.ModuleDict):
        return list(readout.keys())
    children = list(module.children())
    return _names_of_readouts(children[0]) if len(children) == 1 else None


def _unreached(sessions: str, why: str, argument: str) -> ModelError:
    """The refusal of sessions that `forward` does not take."""
    return ModelError(
        f"model.sessions{sessions} cannot reach the module: {why}",
        expected=f"a forward(stimulus, {argument})",
        repair="model.session_argument=NAME_OF_THE_ARGUMENT, or model.sessions=null",
    )


def _session_names(module: nn.Module, signature: Signature, stated: Stated) -> Sequence[str] | None:
    """The names to pass as session argument, or None where the module takes none."""
    argument = stated.session_argument
    if stated.sessions is not None:
        if not signature.takes(argument):
            raise _unreached(f"=[{','.join(stated.sessions)}]", f"forward has no {argument}", argument)
        return stated.sessions
    if not signature.known(argument):
        return None
    if (names := _names_of_readouts(module)) is not None:
        return names
    raise ModelError(f"the module's forward takes a {argument}", repair="model.sessions=[name_of_a_session]")


def _check_inputs(signature: Signature, stated: Stated, names: Sequence[str] | None) -> None:
    """Refuse inputs that the module does not take, and name those that it lacks."""
    for name in stated.inputs:
        if not signature.takes(name):
            known = [parameter.name for parameter in signature.own if parameter.name != stated.session_argument]
            raise ModelError(
                f"model.inputs.{name} cannot reach the module, whose forward takes no {name}",
                expected=", ".join(known) or "no input beside the stimulus",
            )
    given = [*stated.inputs, *([] if names is None else [stated.session_argument])]
    if missing := signature.missing(given):
        raise ModelError(
            f"the module's forward also takes {', '.join(missing)}",
            expected="a fixed value for each",
            repair=" ".join(f"+model.inputs.{name}=[0,0,0]" for name in missing)
            + ("" if names else ", or model.session_argument=NAME where one of them is the session"),
        )


def _failure(error: Exception, retina: ModuleRetina, frames: int, session: str | None) -> ModelError:
    argument = retina.stated.session_argument
    if session is not None and isinstance(error, TypeError) and repr(argument) in str(error):
        return _unreached("", str(error), argument)
    kind = "an image" if retina.stated.static else f"a stimulus of {frames} frames"
    return ModelError(
        f"the module failed on {kind}: {type(error).__name__}: {error}",
        expected="(batch, channel, time, height, width) to (batch, time, neuron)",
    )


class Wrapping:
    """Tries one module.

    Args:
        retina: the module, not tried yet.
        frames: stimulus frames to try it on.
        device: where it is.
    """

    def __init__(self, retina: ModuleRetina, frames: int, device: torch.device) -> None:
        self.retina, self.frames, self.device = retina, frames, device
        self.kept = ModuleState(retina.module)
        self.stimuli = trial_stimuli(retina, frames, device)
        self.names = list(retina.sessions or [ONLY_SESSION])

    def answer(self, stimulus: Tensor, session: str | None) -> Tensor:
        """What the module answers with the state it was loaded with.

        Raises:
            ModelError: the module raises.
        """
        self.kept.restore()
        try:
            return self.retina.answer(stimulus.clone(), session)
        except ModelError:
            raise
        except Exception as error:  # whatever a user's module raises
            raise _failure(error, self.retina, self.frames, session) from error

    @torch.no_grad()
    def choose_form(self) -> None:
        """Choose how the module is called: the first form that it takes, for a batch of two if there is one."""
        one, two = self.stimuli[0], torch.cat(self.stimuli)
        forms = list(call_forms(self.retina.module, self.retina.stated.inputs))
        chosen = next((form for form in forms if self._works(form, one)), None)
        if chosen is None:
            self.retina.form = forms[0]
            self.answer(one, self.retina.named(self.names[0]))  # which says why
            raise ModelError("the module failed once and not again", expected="a function of the stimulus")
        if len(forms) > 1 and not self._works(chosen, two):
            chosen = next((form for form in forms if self._works(form, two) and self._works(form, one)), chosen)
        self.retina.form = chosen
        if chosen.dtype in HALF:
            self.retina.warn(f"the model computes in {str(chosen.dtype)[6:]}, to {HALF[chosen.dtype]} digits")

    def _works(self, form: CallForm, stimulus: Tensor) -> bool:
        self.retina.form = form
        try:
            self.answer(stimulus, self.retina.named(self.names[0]))
        except ModelError:
            return False
        return True

    @torch.no_grad()
    def _shape(self, frames: int) -> tuple[int, ...] | None:
        """Shape of the answer to a stimulus of another length; None where the module raises for it."""
        stimulus, _ = trial_stimuli(self.retina, frames, self.device)
        try:
            return tuple(self.retina.answer(stimulus, self.retina.named(self.names[0])).shape)
        except Exception:  # whatever a user's module raises for a length that it does not take
            return None

    def examine(self, name: str) -> Tensor | None:
        """Make the module a function for one session; see `Examination`."""
        with seeded(self.device):
            passed = self.retina.named(name)
            pair = Examination(self.retina, passed, self.kept, self.frames, self.device).make_it_a_function()
            self.kept.restore()
        return pair

    @torch.no_grad()
    def read(self, pair: Tensor | None) -> None:
        """Read the axes of the responses, and the neurons of every session."""
        retina, stated = self.retina, self.retina.stated
        shape = None if pair is None else tuple(pair.shape)
        reader = AxisReader(
            self.frames, self._shape, shape, static=stated.static, axes=stated.axes, stride=stated.stride
        )
        reading = retina.reading = reader.read()
        answers = {name: reading.ordered(self.answer(self.stimuli[0], retina.named(name))) for name in self.names}
        times = {len(answer[0]) for answer in answers.values()}
        if len(times) != 1:
            raise ModelError(f"the sessions of the module answer with different numbers of frames: {sorted(times)}")
        found = {name: answer.shape[2] for name, answer in answers.items()}
        retina.facts = replace(retina.facts, sessions=found, lag=reading.lag, response_stride=reading.stride)
        if reading.stride > 1:
            retina.warn(STRIDED.format(reading.stride))
        if not retina.signature.names(stated.session_argument) and retina.sessions is not None:
            self._check_reach(list(answers.values()))

    def _check_reach(self, answers: Sequence[Tensor]) -> None:
        """Refuse sessions that a wrapper swallows: all of them, and a name that no module has, are answered alike."""
        argument = self.retina.stated.session_argument
        try:
            nowhere = self.retina.reading.ordered(self.answer(self.stimuli[0], NO_SESSION))  # type: ignore[union-attr]  # just read
        except ModelError:
            return
        if all(answer.shape == nowhere.shape and torch.equal(answer, nowhere) for answer in answers):
            raise ModelError(
                f"model.sessions=[{','.join(self.names)}] cannot reach the module: every {argument} is answered alike",
                expected=f"a forward that hands {argument} on",
                repair="model.sessions=null",
            )


def wrap_module(
    module: nn.Module, facts: ModelFacts, stated: Stated, *, frames: int, device: torch.device
) -> ModuleRetina:
    """Make a retina of a module, and find its sessions, neurons, axes and lag by trying it.

    Args:
        module: `forward(stimulus)`, with more arguments where they are stated, on `(batch, channel, time, height,
            width)` or, when static, on images `(batch, channel, height, width)`. It answers `(batch, time, neuron)` in
            any order; `(batch, time)` is one neuron, `(batch, neuron)` one frame at the stimulus' last frame.
        facts: what is stated about its stimulus; `sessions`, `lag` and `response_stride` are replaced by what is found.
        stated: what is stated about how it is called.
        frames: stimulus frames to try it on.
        device: where to put it.

    Raises:
        ModelError: the module raises, answers with an unexpected shape, or is no function of the stimulus.
    """
    if stated.static and frames != 1:
        raise ModelError(f"a static model sees one frame, not {frames}", repair="stimulus.frames=1 reducer=mean")
    signature = Signature.of(module)
    names = _session_names(module, signature, stated)
    _check_inputs(signature, stated, names)
    retina = ModuleRetina(module, facts, stated, signature, names).to(device)
    with seeded(device):
        wrapping = Wrapping(retina, frames, device)
        wrapping.choose_form()
        retina.examiner = cache(wrapping.examine)
        wrapping.read(retina.examiner(wrapping.names[0]))
    alike = replace(stated, sessions=names)
    retina.wrap_alike = partial(wrap_module, facts=facts, stated=alike, frames=frames, device=device)
    return retina
