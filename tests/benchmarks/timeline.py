"""Runs one `openretina` command and writes down where its time went; each second counts once, in the innermost part.

Usage: SPAWNED=<time.time() at the start> TIMELINE=out.json python timeline.py optimize ...
"""

import time

_FIRST_LINE = time.time()

import builtins  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager, nullcontext  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

PACKAGES = ("torch", "torch._dynamo", "numpy", "hydra", "omegaconf", "rich", "matplotlib", "av", "openretina_cli")
PARTS = {
    ("openretina_cli.config.compose", "compose"): "compose the settings",
    ("openretina_cli.config.settings", "read_settings"): "check the settings",
    ("openretina_cli.run.model", "build_model"): "load the model",
    ("openretina_cli.models.probe", "probe"): "try the model",
    ("openretina_cli.run.problem", "plan_run"): "plan",
    ("openretina_cli.run.problem", "accelerate"): "fast form",
    ("openretina_cli.run.problem", "full_responses"): "response",
    ("openretina_cli.loop.loop", "optimize_stack"): "optimise",
    ("openretina_cli.output.composition.composer", "Composer.encode"): "figure",
    ("openretina_cli.output.film.mp4", "encode_video"): "video",
    ("openretina_cli.output.chosen", "write_numbers"): "write tensors and tables",
}
"""Functions and methods by module and name, wrapped as soon as their module is there, before anyone can import them."""


class Timeline:
    """Seconds by part; a part inside another stops the outer one's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.seconds["start python"] = _FIRST_LINE - float(os.environ["SPAWNED"])
        self.open, self._since = "everything else", _FIRST_LINE

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what the block takes as this part's."""
        outer = self.open
        self.switch(name)
        try:
            yield
        finally:
            self.switch(outer)

    def switch(self, name: str) -> None:
        """Close the account of the part before, and open another's."""
        now = time.time()
        self.seconds[self.open] += now - self._since
        self.open, self._since = name, now


def wrapped(timeline: Timeline, function: Callable[..., Any], part: str) -> Callable[..., Any]:
    """A function whose time counts as a part's."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with timeline.part(part):
            return function(*args, **kwargs)

    return call


def watch_imports(timeline: Timeline) -> None:
    """Count first imports of packages as parts, and wrap the functions of `PARTS` as their modules arrive."""
    original, waiting = builtins.__import__, dict(PARTS)

    def wrap_arrivals() -> None:
        for module_name, function in list(waiting):
            module = sys.modules.get(module_name)
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                part = waiting.pop((module_name, function))
                owner, _, name = function.rpartition(".")
                holder = getattr(module, owner) if owner else module
                setattr(holder, name, wrapped(timeline, getattr(holder, name), part))

    def traced(name: str, *args: Any, **kwargs: Any) -> Any:
        package = name if name in PACKAGES else name.partition(".")[0]
        inside = timeline.open.startswith(f"import {package}")  # torch._dynamo's own imports of torch are its own
        first = package in PACKAGES and name not in sys.modules and not inside
        with timeline.part(f"import {package}") if first else nullcontext():
            module = original(name, *args, **kwargs)
        wrap_arrivals()
        return module

    builtins.__import__ = traced


def main() -> None:
    """Run the command, then write the timeline down."""
    timeline = Timeline()
    watch_imports(timeline)
    from openretina_cli.main import main as openretina

    code = openretina(sys.argv[1:])
    timeline.switch("end python")
    Path(os.environ["TIMELINE"]).write_text(json.dumps(timeline.seconds))
    sys.stdout.flush()
    os._exit(code)  # as `openretina_cli.main.command` ends


if __name__ == "__main__":
    main()
