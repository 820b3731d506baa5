"""Optimise a stimulus, or many in a sweep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from openretina_cli import completion
from openretina_cli.config.help import LAUNCHER, columns, defaults_of, group_lines, settings_of, shown_setting
from openretina_cli.config.paths import expand_home
from openretina_cli.store.package import config_directory

WRITES_FILES = True
MAXIMUM_WIDTH = 120
"""Longer lines of help are hard to read."""

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
chosen. The default is shown, with its settings. Of constraint, gradient,
penalty and output several can be chosen, and are applied in the order of the
list: constraint=[norm,range]."""

SWEEPS = """
Sweeps: with -m, a list or range for any key makes a run of each combination.
neuron=0..112, neuron=all and session=all are ranges, too. The same command with
the same out=DIR goes on where an earlier one ended. The launcher says where the
runs are made; joblib, submitit_local, submitit_slurm and ray, and the sweeper
optuna, are Hydra's own and installed on their own."""

FLAGS = """\
Flags (Hydra's)
  -m, --multirun        sweep, see above; quote what has brackets:
                        'neuron=range(0,113)'
  --cfg job             print the composed settings instead of running;
                        --resolve fills in ${...}
  --info [WHAT]         print how the settings were composed: defaults-tree,
                        searchpath, plugins ...
  -cd, --config-dir DIR add a folder of your own options, such as
                        DIR/objective/mine.yaml
  -sc install=bash      completion of keys and options:
                        eval "$(openretina -sc install=bash)"
  HYDRA_FULL_ERROR=1    in the environment: show the traceback of an error

Exit status: 0 done, 1 a run failed, 2 a mistake in the settings or files,
130 interrupted.
"""


def optimize_help(folders: list[Path], width: int) -> str:
    """The text of `openretina optimize --help`.

    Args:
        folders: the packaged configs, then folders of the user's own.
        width: columns to fill.
    """
    main = folders[0] / "optimize.yaml"
    lines = [USAGE, "Settings"]
    lines += columns((shown_setting(setting, "") for setting in settings_of(main)), 2, width)
    lines.append(GROUPS)
    defaults = defaults_of(main)
    own = sorted({path.name for folder in folders[1:] for path in folder.iterdir() if path.is_dir()} - defaults.keys())
    for name in [*defaults, *own]:
        default = defaults.get(name, "null")
        lines += group_lines(name, folders, default.strip("[]").split(","), default, width)
    lines += [SWEEPS, *group_lines(LAUNCHER, folders, ["slurm"], "batched", width)]
    return "\n".join([*lines, "", FLAGS])


def _own_config_folders(argv: Sequence[str]) -> list[Path]:
    """The folders named by --config-dir, which may bring options of their own."""
    words = [word for argument in argv for word in argument.split("=", 1)]
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--config-dir", "-cd")]
    folders = [Path(expand_home(name)) for name in named]
    return [folder for folder in folders if folder.is_dir()]


def help_text(argv: Sequence[str]) -> str:
    """The settings, groups and options, with those of the user's own folders."""
    width = min(shutil.get_terminal_size((80, 24)).columns, MAXIMUM_WIDTH)
    return optimize_help([config_directory(), *_own_config_folders(argv)], width)


def complete(before: Sequence[str], word: str) -> Iterator[str]:
    """Flags, groups, options, keys and paths."""
    return completion.settings(before, word)


def run(argv: Sequence[str]) -> None:
    """Run `openretina optimize` with its arguments.

    Raises:
        OpenRetinaError: the user's mistake, or a run that failed.
        Exception: an error of Hydra's, OmegaConf's or YAML's, which `config.errors.explain` puts into a sentence.
    """
    from openretina_cli.config.compose import compose, hand_to_hydra, is_sweep, read_arguments
    from openretina_cli.config.overrides import read_overrides

    args, parser = read_arguments(argv)
    sweeps = is_sweep(args)
    overrides = [] if args.shell_completion else read_overrides(args.overrides, sweeps)
    if any((args.cfg, args.info, args.hydra_help, args.shell_completion, args.resolve, args.experimental_rerun)):
        from openretina_cli.run.single import sweep_job

        hand_to_hydra(args, parser, sweep_job)
    elif sweeps:
        from openretina_cli.run.command import sweep  # the report, and what else a single run need not wait for

        sweep(args, parser, overrides)
    else:
        config = compose(args, args.overrides)
        from openretina_cli.run.single import (
            run_single,  # a misspelt setting needs none of it
        )

        run_single(config)
