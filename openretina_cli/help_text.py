"""The help of `openretina optimize`, read from the comments in the YAML that users compose."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SETTING = re.compile(r"^(?P<indent> *)(?P<key>[\w\"]+):(?: (?P<value>.*?))?(?: +# (?P<comment>.*))?$")
COLUMN = 32
"""Columns of the left part."""

LAUNCHER = "hydra/launcher"
"""Hydra's group for what makes the runs of a sweep."""
TARGET = "_target_"

HIDDEN = ("_self_", "defaults", "hydra")

USAGE = """\
usage: openretina optimize [KEY=VALUE ...] [FLAG ...]

Optimise the stimulus of a neuron of a digital-twin retina, and write what came
out into a folder.

  openretina optimize objective=mei neuron=42
  openretina optimize objective=mdi neuron=[1,5,9] stimulus.norm=30 device=cuda
  openretina optimize objective=discriminative objective.on=[28]
  openretina optimize experiment=hoefling_2024 model=hoefling_2024 neuron=100
  openretina optimize -m neuron=0..112 seed=1,2 out=DIR     # a sweep
"""

GROUPS = """
Groups: GROUP=OPTION chooses, GROUP.KEY=VALUE changes a setting of what was
chosen. The default is shown, with its settings. Of constraint, gradient and
penalty several can be chosen, and are applied in order: constraint=[norm,range]."""

SWEEPS = """
Sweeps: with -m, a list or range for any key makes a run of each combination.
neuron=0..112, neuron=all and session=all are ranges, too. The same command with
the same out=DIR goes on where an earlier one ended. The launcher says where the
runs are made; joblib, submitit_local, submitit_slurm and ray, and the sweeper
optuna, are Hydra's own and installed on their own."""

FLAGS = """\
Flags (Hydra's)
  -m, --multirun        sweep, see above; quote what has brackets: 'neuron=range(0,113)'
  --cfg job             print the composed settings instead of running; --resolve fills in ${...}
  --info [WHAT]         print how the settings were composed: defaults-tree, searchpath, plugins ...
  -cd, --config-dir DIR add a folder of your own options, such as DIR/objective/mine.yaml
  -sc install=bash      completion of keys and options: eval "$(openretina -sc install=bash)"
  HYDRA_FULL_ERROR=1    in the environment: show the traceback of an error

Exit status: 0 done, 1 a run failed, 2 a mistake in the settings or files, 130 interrupted.
"""


@dataclass(frozen=True)
class Setting:
    """One commented key of an option's YAML."""

    key: str
    value: str
    help: str


def title_of(path: Path) -> str:
    """What an option is: the first comment in its file that is no instruction to Hydra."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""


def settings_of(path: Path) -> Iterator[Setting]:
    """The keys of an option, nested ones with dots, in the order of the file."""
    above: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if (match := SETTING.match(line)) is None:
            continue
        indent, key = len(match["indent"]), match["key"].strip('"')
        above = [(depth, name) for depth, name in above if depth < indent]
        name = ".".join([*(name for _, name in above), key])
        above.append((indent, key))
        built_in = key == TARGET and match["comment"] is None  # which class an option is, is no setting of it
        if match["value"] and not built_in and not any(part in HIDDEN for part in name.split(".")):
            yield Setting(name, match["value"], match["comment"] or "")


def _defaults(path: Path) -> dict[str, str]:
    """The option that is chosen in each group."""
    chosen = re.findall(r"^ +- (\w+): (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(chosen)


def _columns(rows: Iterable[tuple[str, str]], indent: int, width: int) -> Iterator[str]:
    """Two columns; a left entry that is too long stands on a line of its own."""
    for left, right in rows:
        lines = textwrap.wrap(right, max(width - COLUMN - 2, 24), break_on_hyphens=False) or [""]
        head = " " * indent + left
        if len(head) > COLUMN:
            yield head
            head = ""
        yield f"{head:<{COLUMN}}  {lines[0]}".rstrip()
        yield from (" " * (COLUMN + 2) + line for line in lines[1:])


def _shown(setting: Setting, prefix: str) -> tuple[str, str]:
    value = "(required)" if setting.value == "???" else f"={setting.value}"
    return f"{prefix}{setting.key}{value}", setting.help


def _group(name: str, folders: list[Path], shown: Sequence[str], default: str, width: int) -> Iterator[str]:
    """A group: its options, and the settings of those that are shown in full."""
    files = {path.stem: path for folder in folders for path in sorted((folder / name).glob("*.yaml"))}
    prefix = name.replace("/", ".")
    yield f"\n{name}={default}"
    yield from _columns(((stem, title_of(path)) for stem, path in files.items()), 2, width)
    for option in shown:
        if option in files:
            yield from _columns((_shown(setting, f"{prefix}.") for setting in settings_of(files[option])), 4, width)


def optimize_help(folders: list[Path], width: int) -> str:
    """The text of `openretina optimize --help`.

    Args:
        folders: the packaged configs, then folders of the user's own.
        width: columns to fill.
    """
    main = folders[0] / "optimize.yaml"
    lines = [USAGE, "Settings"]
    lines += _columns((_shown(setting, "") for setting in settings_of(main)), 2, width)
    lines.append(GROUPS)
    defaults = _defaults(main)
    own = sorted({path.name for folder in folders[1:] for path in folder.iterdir() if path.is_dir()} - defaults.keys())
    for name in [*defaults, *own]:
        default = defaults.get(name, "null")
        lines += _group(name, folders, [default.strip("[]")], default, width)
    lines += [SWEEPS, *_group(LAUNCHER, folders, ["slurm"], "batched", width)]
    return "\n".join([*lines, "", FLAGS])
