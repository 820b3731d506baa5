"""Every example does what it says: the commands in its text are run, in a copy of the folder, and so is its class."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from openretina_cli import Optimized, optimize
from openretina_cli.config.compose import compose, read_arguments
from openretina_cli.main import main
from openretina_cli.run.launcher import Slurm, launcher_of

EXAMPLES = Path(__file__).parent.parent / "examples"
QUICK = ("stopper.max_iterations=2", "device=cpu", "output=minimal")
MODULES = ("own_constraint", "own_model", "own_objective")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the examples as working directory, whose modules are forgotten with it."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.syspath_prepend(str(tmp_path / "examples"))
    yield tmp_path / "examples"
    for name in MODULES:
        sys.modules.pop(name, None)


def commands(name: str) -> list[list[str]]:
    """The commands in the text of an example, as words."""
    text = (EXAMPLES / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^ +openretina (.+)$", text, re.MULTILINE)]


def ran(words: list[str], out: Path) -> Optimized:
    assert main([*words, *QUICK, f"out={out}"]) == 0
    return Optimized(out)


@pytest.mark.parametrize("name", [*(f"{name}.py" for name in MODULES), "README.md"])
def test_the_commands_of_an_example_run(name: str, desk: Path) -> None:
    found = commands(name)
    assert found
    for number, words in enumerate(found):
        assert ran(words, desk / f"run{number}").history[-1].iteration == 2


def test_the_objective_is_the_same_by_its_file_by_the_option_and_from_python(desk: Path) -> None:
    by_file, by_option = (ran(words, desk / f"run{i}") for i, words in enumerate(commands("own_objective.py")))
    versus = importlib.import_module("own_objective").Versus
    from_python = optimize(*QUICK, objective=functools.partial(versus, other=7), neuron=84)
    assert torch.equal(by_file.stimulus, by_option.stimulus)
    assert torch.equal(by_file.stimulus, from_python.stimulus)
    assert by_file.numbers["neurons"] == [84, 7]
    assert "neuron 84 versus neuron 7" in repr(from_python)


def test_the_model_is_the_same_by_its_file_and_from_memory(desk: Path) -> None:
    by_file = ran(commands("own_model.py")[0], desk / "run")
    shape = ("model.height=12", "model.width=10", "model.channels=[grey]", "model.frame_rate=60")
    words = (*shape, "model.stimulus_range=[[-2,2]]", "stimulus.frames=30", "reducer=mean")
    from_memory = optimize(*QUICK, *words, model=importlib.import_module("own_model").Filters(4), neuron=3)
    assert torch.equal(by_file.stimulus, from_memory.stimulus)


def test_the_constraint_leaves_no_mean_over_time(desk: Path) -> None:
    stimulus = ran(commands("own_constraint.py")[0], desk / "run").stimulus
    assert float(stimulus.mean(dim=2).abs().max()) < 1e-6  # rounding of float32 at a norm of 5
    assert float(stimulus.norm()) == pytest.approx(5, rel=1e-5)


def test_a_lab_has_options_with_help(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "--config-dir", "lab", "--help"]) == 0
    text = capsys.readouterr().out
    for line in ("The response of a cell, less that of another", "No mean over time", "What our projector shows well"):
        assert line in text


def test_the_slurm_script_asks_for_a_sweep_that_composes(desk: Path) -> None:
    (desk / "bin").mkdir()
    (desk / "bin" / "openretina").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (desk / "bin" / "openretina").chmod(0o755)
    command = ["/bin/sh", str(desk / "slurm_sweep.sh"), "gpu", "hydra.launcher.gpus_per_node=1"]
    done = subprocess.run(
        command, env={"PATH": f"{desk / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    verb, *words = done.stdout.splitlines()
    args, _ = read_arguments(words)
    assert verb == "optimize"
    assert args.multirun
    shared = [word for word in args.overrides if not word.startswith(("neuron", "session", "seed"))]
    launcher = launcher_of(compose(args, shared))
    assert isinstance(launcher, Slurm)
    assert (launcher.partition, launcher.gpus_per_node, launcher.group_size) == ("gpu", 1, 200)
