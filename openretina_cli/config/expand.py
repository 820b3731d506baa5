"""From the overrides of a sweep to those of each of its runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Override, Transformer

from openretina_cli.checks import SPAN
from openretina_cli.errors import SettingError

VARIED = ("neuron", "session", "seed")
"""Settings in which runs of one stack may differ."""
ALL = "all"
MOST_RUNS = 1_000_000
"""More runs in one sweep are a slip of the finger."""


@dataclass(frozen=True)
class Assignment:
    """One override of one run.

    Attributes:
        key: the setting, with Hydra's prefix (`+`, `++`, `~`) where it has one.
        text: as it is typed, `key=value`.
        value: the value, as Python sees it.
        literal: whether the value `all` is the name of a session, and does not stand for every session.
    """

    key: str
    text: str
    value: Any
    literal: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether it stands for all neurons, or all sessions, of the model."""
        return not self.literal and self.key in ("neuron", "session") and self.value == ALL

    @property
    def is_hydras(self) -> bool:
        """Whether it is about how Hydra works, not about what a run computes."""
        return self.key.lstrip("+~").startswith(("hydra.", "hydra/"))


Request = tuple[Assignment, ...]
"""What is asked of one run."""


@dataclass(frozen=True)
class Cells:
    """What `all` means.

    Attributes:
        sessions: the number of neurons of each session of the model.
        default: the session that is meant where none is named.
        chosen: the neurons of a session that `all` means; None means every neuron.
    """

    sessions: Mapping[str, int]
    default: str
    chosen: Callable[[str], Sequence[int]] | None = None

    def neurons(self, request: Request) -> Sequence[int]:
        """The neurons that `all` means in the session that a run names.

        Raises:
            SettingError: the model has no such session, or the session no such neuron.
        """
        named = next((assignment.value for assignment in request if assignment.key == "session"), None)
        session = self.default if named is None else str(named)
        if session not in self.sessions:
            known = ", ".join(self.sessions)
            raise SettingError(f"session={session} is not in the model", expected=f"one of {known}, or all")
        return range(self.sessions[session]) if self.chosen is None else self.chosen(session)


def _assignment(key: str, element: Any) -> Assignment:
    return Assignment(key, f"{key}={Transformer.str(element)}", Override._convert_value(element))


def _is_span(key: str, element: Any) -> bool:
    return key == "neuron" and isinstance(element, str) and SPAN.fullmatch(element) is not None


def _span(key: str, element: Any, text: str) -> Iterable[Any]:
    """The neurons of `0..9`; any other value is itself."""
    span = SPAN.fullmatch(element) if _is_span(key, element) else None
    if span is None:
        return (element,)
    first, last = int(span[1]), int(span[2])
    if first > last:
        raise SettingError(f"{text}: the span {element} is empty", expected=f"{last}..{first}")
    return range(first, last + 1)


def _choices(override: Override) -> list[Assignment]:
    """The values that one override runs through."""
    key, text = override.get_key_element(), str(override.input_line)
    if override.is_delete():
        return [Assignment(key, text, None)]
    if not override.is_sweep_override() and not _is_span(key, override._value):
        return [Assignment(key, text, override.value())]  # as it was typed
    if not override.is_sweep_override():
        elements: Iterable[Any] = (override._value,)
    elif override.is_discrete_sweep():
        elements = override.sweep_iterator(Transformer.identity)
    else:
        raise SettingError(f"{text} has no end of values", expected="a list, a range, or a sweeper that draws from it")
    spelled = (_assignment(key, value) for element in elements for value in _span(key, element, text))
    chosen = list(itertools.islice(spelled, MOST_RUNS + 1))
    if not chosen:
        raise SettingError(f"{text} is empty", expected="one value or more")
    return chosen


def _fill(request: Request, position: int, values: Iterable[Any]) -> Iterator[Request]:
    key = request[position].key
    for value in values:
        filled = replace(_assignment(key, value), literal=True)
        yield (*request[:position], filled, *request[position + 1 :])


def _spell_out(request: Request, cells: Callable[[], Cells]) -> Iterator[Request]:
    """Put the model's sessions, then the neurons of each, in the place of `all`."""
    for position, assignment in enumerate(request):
        if assignment.is_everything and assignment.key == "session":
            for filled in _fill(request, position, cells().sessions):
                yield from _spell_out(filled, cells)
            return
    for position, assignment in enumerate(request):
        if assignment.is_everything:
            yield from _fill(request, position, cells().neurons(request))
            return
    yield request


def _refuse_swept_model(lists: Sequence[Sequence[Assignment]]) -> None:
    everything = next((item.text for items in lists for item in items if item.is_everything), None)
    swept = next((items[0].key for items in lists if len(items) > 1 and items[0].key.split(".")[0] == "model"), None)
    if everything and swept:
        raise SettingError(
            f"{everything} has no meaning while {swept} is swept, as models differ in it",
            repair=f"a sweep per {swept}, or numbers such as neuron=0..9",
        )


def expand(overrides: Sequence[Override], cells: Callable[[], Cells]) -> list[Request]:
    """The runs of a sweep, in the order in which Hydra would make them: the last override runs fastest.

    Args:
        overrides: as parsed; of two with one key the later counts.
        cells: asked only where a value is `all`.

    Raises:
        SettingError: a range is empty or endless, or `all` has no one meaning.
    """
    lists = list({override.get_key_element(): _choices(override) for override in overrides}.values())
    if math.prod(map(len, lists)) > MOST_RUNS:
        raise SettingError(f"these are more than {MOST_RUNS} runs", expected=f"at most {MOST_RUNS} in one sweep")
    _refuse_swept_model(lists)
    return [run for request in itertools.product(*lists) for run in _spell_out(request, cells)]


def _spelled(choice: Assignment, cells: Callable[[], Cells]) -> Iterator[str]:
    if not choice.is_everything:
        yield choice.text.partition("=")[2]
    elif choice.key == "session":
        yield from cells().sessions
    else:
        yield from map(str, cells().neurons(()))


def spelled_out(overrides: Sequence[Override], cells: Callable[[], Cells]) -> list[str]:
    """The overrides of a sweep as text that Hydra's own launchers and sweepers understand, without spans or `all`.

    Raises:
        SettingError: a span is empty, or `all` means other neurons in one session than in the next.
    """
    choices = {key: _choices(o) for o in overrides if (key := o.get_key_element()) in ("session", "neuron")}
    sessions, neurons = choices.get("session", []), choices.get("neuron", [])
    several = len(sessions) > 1 or any(choice.is_everything for choice in sessions)
    if several and any(choice.is_everything for choice in neurons):
        raise SettingError("neuron=all means other neurons in each session", repair="hydra/launcher=batched")
    texts = {override.get_key_element(): str(override.input_line) for override in overrides}
    for key, chosen in choices.items():
        texts[key] = f"{key}={','.join(text for choice in chosen for text in _spelled(choice, cells))}"
    return list(texts.values())
