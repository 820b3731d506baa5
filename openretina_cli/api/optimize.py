"""One run in one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openretina_cli.api.call import Call, Kept, explained, read_call, temporary_folder
from openretina_cli.api.optimized import Optimized
from openretina_cli.errors import SettingError
from openretina_cli.output.base import Numbers

READ_BACK = ("tensor", "tables")
"""Outputs that a result is read from."""
HYDRAS_OWN = ("cfg", "info", "hydra_help", "shell_completion", "resolve", "experimental_rerun")
"""Flags that print something instead of making a run."""


def optimize(
    *words: str, model: Any = None, objective: Any = None, progress: bool = True, **settings: Any
) -> Optimized:
    """Optimise a stimulus, as `openretina optimize` does with the same words.

        optimize("neuron=42", "objective=mdi")
        optimize(neuron=42, objective="mdi", stimulus={"norm": 30})
        optimize(model=my_module, neuron=3, objective=lambda response, neuron: response[10:20, neuron].mean())

    Args:
        words: overrides and flags of the command line.
        model: the name or path of a model; or an object: a `Retina`, a model of openretina's, a Lightning checkpoint
            that is loaded, or any torch module, which then needs `"model.height=18"`, `"model.width=16"` and
            `"model.channels=[green,uv]"`. A module is copied, and stays as it is.
        objective: the name of an objective; or an object: an `AbstractObjective`, a class of them, or a function
            `score(response)` of the response `(time, neuron)`, a tensor. A class or function that has an argument
            `neuron` or `group` gets the setting.
        progress: whether a bar is shown, in a terminal or a notebook.
        settings: settings by name; None is null, and a mapping holds settings of a group. `out=DIR` says where the run
            goes, with its pictures, and a run that is finished there is not made again; without it the run lies in a
            temporary folder, and pictures are drawn when they are asked for. Runs with objects in memory are always
            made anew.

    Returns:
        What came out.

    Raises:
        OpenRetinaError: a mistake, or the run failed, in one line.
    """
    with explained():
        call = read_call(words, {"model": model, "objective": objective, **settings}, sweeps=False)
        return _made(call, progress)


def _made(call: Call, progress: bool) -> Optimized:
    from openretina_cli.config.compose import compose, current_restored, is_sweep, read_arguments, run_alone
    from openretina_cli.config.overrides import read_overrides
    from openretina_cli.output.chosen import chosen_outputs
    from openretina_cli.run.single import run_job
    from openretina_cli.terminal.console import BarConsole
    from openretina_cli.terminal.run import RunConsole

    args, _ = read_arguments(call.words)
    if is_sweep(args):
        raise SettingError("-m means several runs", repair="openretina_cli.optimize_many(...)")
    if flag := next((name for name in HYDRAS_OWN if getattr(args, name)), None):
        raise SettingError(f"--{flag} makes no run", repair=f"openretina optimize --{flag}")
    read_overrides(args.overrides, sweeps=False)
    with current_restored(), RunConsole(BarConsole(progress)).live() as console:
        job, record = run_alone(call.given.into(compose(args, args.overrides)))
        if missing := [name for name in READ_BACK if name not in job.settings.output]:
            chosen = ",".join([*missing, *job.settings.output])
            raise SettingError(f"output lacks {missing[0]}, from which the result is read", repair=f"output=[{chosen}]")
        if call.is_placed:
            run_job(job, record, console, call.given)
            return Optimized(job.folder)
        numbers = [item.chosen for item in chosen_outputs(job.settings) if isinstance(item, Numbers)]
        kept = {name: job.settings.output[name] for name in numbers}
        folder = Kept()
        path = temporary_folder(folder) / "run"
        run_job(replace(job, folder=path, settings=replace(job.settings, output=kept)), record, console, call.given)
        made = Optimized(path)
        vars(made)["_kept"] = folder  # the folder lives as long as the result
        return made
