"""The walks of docs/architecture.md are those of a real run: which files pass a setting, and a stimulus, on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from openretina_cli.main import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "openretina_cli"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SETTINGS = ("Settings", "Job", "Group", "Option", "Plan", "Problem")
"""Objects of the program that hold the settings of a run, or what was made of them."""
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>")
"""They have no frame of their own since Python 3.12."""
SOLVED = ("Outcome", "RunView", "Solved")
"""Objects of the program that hold the stimulus of a run."""

Meant = Callable[[object], bool]


def some(value: object, meant: Meant, depth: int = 2) -> bool:
    """Whether a value, or one in containers of at most 200 values, is meant."""
    if meant(value):
        return True
    inside: list[object] = []
    if isinstance(value, (list, tuple, set, frozenset, dict)) and depth and len(value) <= 200:
        inside = [*value.values()] if isinstance(value, dict) else [*value]
    return any(some(item, meant, depth - 1) for item in inside)


def holds(value: object, names: tuple[str, ...]) -> bool:
    """Whether a value is one of the program's objects of some names."""
    return type(value).__name__ in names and type(value).__module__.startswith("openretina_cli.")


def is_42(value: object) -> bool:
    """The neuron as a number or as it was typed."""
    return "neuron=42" in value if isinstance(value, str) else type(value) is int and value == 42


def is_neuron(value: object) -> bool:
    """The neuron, and the objects that hold it."""
    return is_42(value) or holds(value, SETTINGS)


def is_stimulus(value: object) -> bool:
    """A stimulus of the default settings, a stack of them, and the objects that hold it."""
    is_array = isinstance(value, (torch.Tensor, np.ndarray)) and value.shape[-4:] == (2, 50, 18, 16)
    return is_array or holds(value, SOLVED)


class Walk:
    """Files of the package that a value passes through.

    Attributes:
        handing: files with a function that hands the value on: returns it, or makes an object of it.
        given: files with a function that is given the value.
        stacked: files of functions that are being called when the walk ends.

    Args:
        meant: tells the value.
        since: folder whose function makes the value; what happens before it returns is left out.
    """

    def __init__(self, meant: Meant, since: str = "") -> None:
        self.handing: set[str] = set()
        self.given: set[str] = set()
        self.stacked: set[str] = set()
        self._meant, self._since, self._begun = meant, since, False

    def __call__(self, frame: FrameType, event: str, value: Any) -> None:
        """A function is called or returns."""
        name, code = frame.f_code.co_filename, frame.f_code
        if not name.startswith(str(PACKAGE)) or code.co_name in COMPREHENSIONS:
            return
        if self._since and not self._begun:
            self._begun = event == "return" and self._since in name and some(value, self._meant)
            return
        if event == "return" and some(value, self._meant):
            self._note(name, handing=True)
        elif event == "call":
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(some(frame.f_locals.get(argument), self._meant) for argument in names if argument != "self"):
                self._note(name, handing=code.co_name in ("__init__", "__post_init__"))

    def _note(self, name: str, *, handing: bool) -> None:
        (self.handing if handing else self.given).add(Path(name).relative_to(PACKAGE).as_posix())

    def stack(self, only_given: bool) -> None:
        """Add the files of the functions that are being called now, all of them or those that were given the value."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            held = any(some(frame.f_locals.get(argument), self._meant) for argument in names)
            if code.co_filename.startswith(str(PACKAGE)) and (held or not only_given):
                self.stacked.add(Path(code.co_filename).relative_to(PACKAGE).as_posix())
            frame = frame.f_back


@contextmanager
def profiled(walk: Walk) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(walk)
    try:
        yield
    finally:
        sys.setprofile(before)


def in_the_loop() -> bool:
    """Whether the loop is at work, which the trial of a model before it is not."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(str(PACKAGE / "loop")):
        frame = frame.f_back
    return frame is not None


def walked(walk: Walk, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *words: str) -> None:
    """Run the command until a function of torch is called in the loop, or outside of it where it is `torch.save`."""
    real = getattr(owner, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        if owner is not torch and not in_the_loop():
            return real(*arguments, **options)
        sys.setprofile(None)
        walk.stack(only_given=owner is torch)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, profiled(walk):
        patched.setattr(owner, name, replaced)
        assert main(["optimize", "device=cpu", "stopper.max_iterations=1", *words]) == 130


def named_in(section: str) -> tuple[set[str], set[str]]:
    """The files that a section of the page lists, and those that it names after `Given it, too:`."""
    text = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    listed, _, others = text.partition("Given it, too:")
    return tuple(set(re.findall(r"`([\w/]+\.py)`", part)) for part in (listed, others))  # type: ignore[return-value]


def test_the_walk_of_an_override_is_the_one_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    walk, by_chance = Walk(is_neuron), Walk(is_42)
    walked(walk, monkeypatch, torch.autograd, "grad", "neuron=42", f"out={tmp_path / 'run'}")
    walked(by_chance, monkeypatch, torch.autograd, "grad", "neuron=57", f"out={tmp_path / 'other'}")
    handing = walk.stacked | (walk.handing - by_chance.handing)
    assert (handing, walk.given - handing - by_chance.given) == named_in("One override")
    assert len(handing) <= 20


def test_the_walk_of_a_stimulus_is_the_one_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    walk = Walk(is_stimulus, since="/stimulus/")
    walked(walk, monkeypatch, torch, "save", f"out={tmp_path / 'run'}")
    handing = walk.stacked | walk.handing
    assert (handing, walk.given - handing) == named_in("One stimulus")
    assert len(handing) <= 12
