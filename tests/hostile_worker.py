"""Loads hostile checkpoints one after the other in one process, and writes down how each ended.

    python hostile_worker.py ENSEMBLE SCRATCH FIRST STEP COUNT

Every mutant is loaded as the verbs load it (`build_model`). One in ten, and all that load, also go through the command:
`openretina models`, and `openretina optimize` for what loads. One line of JSON each goes to `SCRATCH/outcomes`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

import torch
from memory import peak_mb
from mutants import CheckpointMutants, written

from openretina_cli.config.target import Option
from openretina_cli.errors import OpenRetinaError
from openretina_cli.main import main
from openretina_cli.run.model import build_model

SECONDS = 300
"""CPU time of the whole worker, after which the system ends it: a hang is a failure."""

IN_FULL = 10
"""Every such mutant goes through the whole command."""

OPTIMIZE = ["optimize", "model=ensemble_directory", "model.path=m", "neuron=1", "output=minimal", "out=out"]


DIRECTORY = Option("openretina_cli.models.ensemble.ensemble", {"path": "m"}, "model.")


def load() -> tuple[int, str]:
    """Exit code and error of loading the checkpoint in `m`."""
    try:
        build_model(DIRECTORY, 50, torch.device("cpu"))
    except OpenRetinaError as error:
        return error.exit_code, str(error)
    return 0, ""


def command(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, err.getvalue().rstrip("\n")


def outcome(seed: int) -> dict[str, object]:
    """Exit codes and errors of everything that was done with the mutant in `m`."""
    ends = [load()]
    if seed % IN_FULL == 0 or ends[0][0] == 0:
        ends.append(command("models", "ensemble_directory", "model.path=m"))
    if ends[0][0] == 0 and seed % 2 == 0:
        ends.append(command(*OPTIMIZE, "stopper.max_iterations=1", "stimulus.frames=40"))
    return {"codes": [code for code, _ in ends], "errors": [error for _, error in ends]}


def run(mutants: CheckpointMutants, seed: int) -> dict[str, object]:
    """One mutant from its files to what is left of it."""
    kind, files = mutants.drawn(seed)
    shutil.rmtree("m", ignore_errors=True)
    written(files, Path("m"))
    names = set(files)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ended = outcome(seed)
        except BaseException:
            ended = {"codes": [], "errors": [traceback.format_exc()[-1500:]]}
    spent = time.process_time() - started
    shutil.rmtree("out", ignore_errors=True)
    left = sorted({*os.listdir(), *os.listdir(os.environ["TMPDIR"])} - {"m"})
    left += sorted(set(os.listdir("m")) ^ names)
    peak = int(peak_mb() * 2**20)
    canary = mutants.canary.exists()
    return {"seed": seed, "kind": kind, **ended, "seconds": spent, "peak": peak, "left": left, "canary": canary}


def work(ensemble: Path, scratch: Path, first: int, step: int, count: int) -> None:
    """Run every `step`-th mutant from `first` on."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))  # torch's libraries alone map some GiB
    os.environ["TMPDIR"] = str(scratch / "tmp")
    for name in ("tmp", "work"):
        (scratch / name).mkdir(parents=True)
    os.chdir(scratch / "work")
    mutants = CheckpointMutants(ensemble, scratch / "canary")
    with (scratch / "outcomes").open("w", encoding="utf-8") as outcomes:
        for seed in range(first, count, step):
            outcomes.write(json.dumps(run(mutants, seed)) + "\n")
            outcomes.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), *map(int, sys.argv[3:]))
