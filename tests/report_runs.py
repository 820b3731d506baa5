"""Real runs that the tests of reports share: made once by the real command, then put among broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openretina_cli.report import write_report

RUNS = {
    "neuron=10": ("neuron=10",),
    "neuron=2": ("neuron=2", "stimulus.norm=20"),
    "neuron=3,objective=mdi": ("neuron=3", "objective=mdi", "session=simulated_ventral"),
    "neuron=4": ("neuron=4", "output=minimal"),
}
FINISHED = ["neuron=2", "neuron=3,objective=mdi", "neuron=4", "neuron=10"]
ERROR = "the objective is not finite at iteration 3 of neuron 5"
NAMES = ["broken", "half", *FINISHED[:3], "neuron=5", "neuron=10"]


def finished_runs(factory: pytest.TempPathFactory) -> Path:
    """A folder of finished runs."""
    root = factory.getbasetemp() / "finished"
    if root.exists():
        return root
    command = [sys.executable, "-m", "openretina_cli", "optimize", "device=cpu", "stopper.max_iterations=2"]
    started = [
        subprocess.Popen([*command, *overrides, f"out='{root / name}'"], stdout=subprocess.DEVNULL)
        for name, overrides in RUNS.items()
    ]
    assert [process.wait(timeout=300) for process in started] == [0] * len(RUNS)
    return root


def reported_sweep(factory: pytest.TempPathFactory) -> Path:
    """The same runs among one that failed, one that was cut off and one that is broken, with their report."""
    root = factory.getbasetemp() / "sweep"
    if root.exists():
        return root
    shutil.copytree(finished_runs(factory), root)
    for name in ("neuron=5", "half", "broken", ".staged-0/neuron=6", "neuron=2/nested"):
        (root / name).mkdir(parents=True)
    failure = {"status": "failed", "error": ERROR, "session": "simulated_dorsal", "neuron": 5, "seed": 0}
    (root / "neuron=5" / "failure.json").write_text(json.dumps(failure))
    (root / "half" / "history.csv").write_text("iteration\n")
    shutil.copy(root / "neuron=2" / "result.json", root / "broken")
    (root / "broken" / "stimulus.pt").write_bytes(b"no archive")
    for hidden in (".staged-0/neuron=6", "neuron=2/nested"):  # neither is a run of this sweep
        (root / hidden / "result.json").write_text("{}")
    write_report(root)
    return root
