"""The package openretina where it is installed beside this one: both install a command `openretina`.

Its verbs are read from its source, since importing it takes seconds and reading the metadata of all packages 20 ms.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openretina_cli.errors import SettingError
from openretina_cli.store.package import installed_script, own_text

PACKAGE = "openretina"
PARSER = r"""add_parser\(\s*["']([\w-]+)["'](?:,\s*help=["']([^"']*)["'])?"""
"""A verb and its help, as openretina 1.1.1 declares them in `openretina/cli/openretina_main.py`."""
KNOWN = {"train": "", "eval": "", "create-data": ""}
"""Verbs of openretina 1.1.1, for a version that declares them otherwise."""
REPLACED = "visualize"
"""A verb of openretina for which this package has a better one."""

REPLACEMENT = """\
openretina visualize is a verb of the package openretina, which optimises a stimulus for every neuron and every channel
of a layer of one checkpoint. Here each is a sweep, with a table, a page and all stimuli in one file:

  every neuron    openretina optimize -m model=core_readout model.path=FILE.ckpt model.center_readouts=true \\
                    session=all neuron=all optimizer.lr=100 out=DIR
  one channel     openretina models FILE.ckpt --layers
                  openretina optimize model=core_readout model.path=FILE.ckpt objective=unit objective.layer=LAYER \\
                    objective.channel=0 out=DIR

  --model-path FILE                 model=core_readout model.path=FILE
  --is-hoefling-ensemble-model      model=hoefling_2024
  --model-id N                      model.members=[N]
  --save-folder DIR                 out=DIR
  --device cuda                     device=cuda
  --time-steps-stimulus N           stimulus.frames=N
  --image-file-format pdf           output.figure.formats=[pdf]

Pictures of the weights are not made here; openretina's own verb still runs as

  python -m openretina.cli visualize ...
"""
LOST = (
    "the command openretina runs the package openretina, which was installed later; this package's command is "
    "openretina-cli, and gets the name back by: pip install --force-reinstall --no-deps openretina-cli"
)
OVERRIDES = {
    "--model-path": "model=core_readout model.path={}",
    "--save-folder": "out={}",
    "--device": "device={}",
    "--model-id": "'model.members=[{}]'",
    "--time-steps-stimulus": "stimulus.frames={}",
}
"""Flags of `openretina visualize` with a value, as overrides."""


def _folder() -> Path | None:
    """Where the package lies; None where it is not installed."""
    found = find_spec(PACKAGE)  # imports nothing, as the name has no dot
    if found is None or not (found.origin or "").endswith("__init__.py"):
        return None
    return Path(str(found.origin)).parent


def verbs() -> dict[str, str]:
    """The verbs that the package brings, each with its help; empty where it is not installed."""
    if (folder := _folder()) is None:
        return {}
    try:
        found = dict(re.findall(PARSER, own_text(folder / "cli" / "openretina_main.py")))
    except (OSError, UnicodeDecodeError):
        found = {}
    return {name: text for name, text in (found or KNOWN).items() if name != REPLACED}


def help_lines(width: int) -> list[str]:
    """What `openretina --help` says of the package, with names padded to a width."""
    found = verbs()
    if not found:
        return []
    replaced = (REPLACED, "replaced by optimize: openretina visualize --help")
    lines = (f"  openretina {name:<{width}}   {text}".rstrip() for name, text in [*found.items(), replaced])
    return ["", "Of the package openretina, which is installed as well:", *lines]


def hand_over(argv: Sequence[str]) -> Any:
    """Run the package's own command in this process, as its script would, and return what that returns, or an error.

    Args:
        argv: the words after the name of the program.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        entry = next(point for point in distribution(PACKAGE).entry_points if point.name == PACKAGE)
    except (PackageNotFoundError, StopIteration):  # sources on PYTHONPATH
        return (
            f"openretina: error: {argv[0]} belongs to {_folder()}, which is not installed. Try: pip install openretina"
        )
    sys.argv[:] = [str(Path(sys.argv[0]).with_name(PACKAGE)), *argv]
    return getattr(import_module(entry.module), entry.attr)()


def replacement(argv: Sequence[str]) -> SettingError:
    """The error that says which command replaces `openretina visualize` with these words."""
    import shlex  # which help need not wait for

    words = [word for argument in argv for word in argument.split("=", 1)]
    pairs = dict(itertools.pairwise(words))
    said = [OVERRIDES[flag].format(shlex.quote(pairs[flag])) for flag in OVERRIDES if flag in pairs]
    said = ["model=hoefling_2024", *said] if "--is-hoefling-ensemble-model" in words else said
    repair = " ".join(
        ["openretina optimize -m", *(said or ["model=core_readout model.path=FILE.ckpt"]), "session=all neuron=all"]
    )
    return SettingError("openretina visualize was replaced by openretina optimize", repair=repair)


def missing(verb: str) -> SettingError | None:
    """The error about a verb of the package where it is not installed, or where Python calls `main` with it."""
    if verb in verbs():
        return SettingError(f"{verb} belongs to the package openretina", repair=f"openretina {verb} in a shell")
    if verb in KNOWN:
        problem = f"{verb} belongs to the package openretina, which is not installed"
        return SettingError(problem, repair="pip install openretina, then openretina-cli for this package's verbs")
    return None


def lost_name() -> str:
    """What a user should do where the command `openretina` runs the package openretina; empty where it does not."""
    import sysconfig

    folder = Path(sysconfig.get_path("scripts"))
    scripts = (installed_script(folder / name) for name in (PACKAGE, f"{PACKAGE}.exe"))
    return LOST if any(b"openretina.cli" in script for script in scripts) else ""
