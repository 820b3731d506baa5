"""Sweeps on a real Slurm: the command can be left and collects later; what was killed or late is submitted again."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from real_parts import missing
from slurm_cluster import Slurm, missing_programs, slurm_cluster, wait_until

from openretina_cli.main import main

SMALL = ["model.members=[0]", "output=minimal", "stopper.max_iterations=2", "device=cpu"]
LAUNCHER = [
    *("hydra/launcher=slurm", "hydra.launcher.partition=main", "hydra.launcher.mem_gb=0.5"),
    *("hydra.launcher.cpus_per_task=1", "hydra.launcher.poll_s=0.5"),
]

# An objective that says that it runs, and then waits or fails while it is told to: its task can be killed meanwhile.
OBJECTIVE = """
import os, time
from pathlib import Path
from openretina_cli import AbstractObjective

HERE = Path({folder!r})

class Holding(AbstractObjective):
    def __init__(self, model, data_key, response_reducer, neuron, tag):
        super().__init__(model, data_key)
        self.reducer, self.neuron, self.tag = response_reducer, neuron, tag

    def score(self, response):
        (HERE / f"at-{{self.tag}}").write_text(
            os.environ.get("SLURM_ARRAY_JOB_ID", "") + "_" + os.environ.get("SLURM_ARRAY_TASK_ID", "")
        )
        if (HERE / f"fail-{{self.neuron}}").exists():
            raise ValueError("told to fail")
        while "SLURM_JOB_ID" in os.environ and (HERE / f"hold-{{self.tag}}").exists():
            time.sleep(0.05)
        return self.reducer.forward(response)[self.neuron]
"""
HOLDING = [
    *("objective=custom", "objective._target_=holding.Holding"),
    *("+objective.neuron=${neuron}", "+objective.tag=${stimulus.std}"),
]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    absent = missing_programs()
    if absent:
        missing(f"Slurm ({', '.join(absent)})", "apt-get install slurm-wlm munge")
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def folder(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is called, with the objective beside it, and in reach of the cluster."""
    (tmp_path / "holding.py").write_text(OBJECTIVE.format(folder=str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return ["optimize", "-m", *SMALL, *HOLDING, *LAUNCHER, *arguments]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts the command in a process of its own, which ends with the test at the latest."""
    with ExitStack() as stack:

        def started(*arguments: str) -> subprocess.Popen[str]:
            words = [sys.executable, "-m", "openretina_cli", *command(*arguments)]
            head = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            stack.enter_context(head)
            stack.callback(head.kill)
            return head

        yield started


def end(head: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it printed and was not read yet."""
    output, _ = head.communicate(timeout=120)
    return head.returncode, output


def read_until(head: subprocess.Popen[str], text: str) -> str:
    """Wait until a command prints something; the line."""
    assert head.stdout
    for line in head.stdout:
        if text in line:
            return line
    raise AssertionError(f"the command ended with {head.wait()} and never said {text!r}")


def finished(results: Path) -> Mapping[str, int]:
    """The finished runs, and when each was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in results.glob("*/result.json")}


def statuses(results: Path) -> Mapping[str, int]:
    """What the sweep's table says came of its runs."""
    with (results / "summary.csv").open(encoding="utf-8") as table:
        return Counter(row["status"] for row in csv.DictReader(table))


def assert_same_results(one: Path, other: Path) -> None:
    for path in one.glob("*/stimulus.pt"):
        stimuli = [torch.load(folder / path.parent.name / path.name, weights_only=True) for folder in (one, other)]
        # both are sums in float32, of stacks of the same size
        torch.testing.assert_close(*stimuli, rtol=1e-5, atol=1e-6)
        results = [json.loads((folder / path.parent.name / "result.json").read_text()) for folder in (one, other)]
        assert results[0]["objective"]["final"] == pytest.approx(results[1]["objective"]["final"], rel=1e-5)
        assert results[0]["identity"] == results[1]["identity"]


def test_a_cluster_runs_a_task_and_leaves_no_process_behind(slurm: Slurm, tmp_path: Path) -> None:
    with slurm_cluster() as other:  # beside the one that is there already
        wrapped = f"--wrap=echo here > {tmp_path / 'said'}; sleep 1000"
        task = other.ask("sbatch", "--parsable", f"--output={tmp_path / 'log'}", wrapped).strip()
        other.wait_for(task, "RUNNING")
        wait_until(lambda: (tmp_path / "said").exists(), "the task has written")
    mark = os.fsencode(str(other.folder))
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert mark not in environment.read_bytes()
        except OSError:  # ended meanwhile, or somebody else's
            continue


def test_what_slurm_killed_is_submitted_again_by_the_same_command(
    slurm: Slurm, folder: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    results, batched = folder / "sweep", folder / "batched"
    runs, out = ["neuron=0,1", "stimulus.std=0.1,0.2,0.3,0.4"], f"out={results}"  # four groups of two runs
    held = ("0.1", "0.2")
    for tag in held:
        (folder / f"hold-{tag}").touch()

    head = start(*runs, out)
    wait_until(lambda: len(finished(results)) == 4, "the free groups are finished")
    wait_until(lambda: all((folder / f"at-{tag}").exists() for tag in held), "the held groups have begun")
    assert main(command(*runs, out)) == 1
    assert "another command is at work" in capsys.readouterr().err
    head.kill()
    head.communicate()
    before, tasks = finished(results), slurm.states().keys()
    assert len(tasks) == 4

    killed, late = ((folder / f"at-{tag}").read_text() for tag in held)
    head = start(*runs, out)
    assert "on their way already: 4 runs, submitted: 0 runs" in read_until(head, "slurm")
    slurm.ask("scancel", killed)
    slurm.time_out(late)
    assert main(["optimize", "-m", *SMALL, *HOLDING, *runs, f"out={batched}"]) == 0  # meanwhile
    code, output = end(head)
    assert (code, "4 of 8 runs failed" in output) == (1, True), output
    assert f"task {killed} ended before it: cancelled; the same command submits it again" in output
    assert f"task {late} ended before it: timeout" in output
    assert slurm.states().keys() == tasks  # what was on its way was left alone
    assert statuses(results) == {"completed": 4, "failed": 4}

    for tag in held:
        (folder / f"hold-{tag}").unlink()
    assert main(command(*runs, out, "hydra.launcher.time_min=120")) == 0
    assert "8 runs, 4 of them finished before" in capsys.readouterr().out
    assert len(slurm.states().keys() - tasks) == 2
    assert statuses(results) == {"completed": 8}
    assert before.items() <= finished(results).items()  # nothing that was finished was computed again
    assert not [*results.glob("*/failure.json"), *results.glob(".*.partial-*")]
    assert_same_results(batched, results)


def test_options_of_the_search_space_are_on_a_cluster_what_they_are_here(folder: Path) -> None:
    options = ["stimulus=fourier", "gradient=[blur,normalize]", "restarts=3", "neuron=0,1", "optimizer=sgd_cosine"]
    here, there = folder / "here", folder / "there"
    assert main(["optimize", "-m", *SMALL, *options, f"out={here}"]) == 0
    assert main(["optimize", "-m", *SMALL, *LAUNCHER, *options, f"out={there}"]) == 0
    assert_same_results(here, there)
    assert len(finished(here)) == len(finished(there)) == 2
    for path in here.glob("*/result.json"):
        starts = [json.loads((root / path.parent.name / path.name).read_text())["restarts"] for root in (here, there)]
        assert [[start["kept"] for start in some] for some in starts] == [[start["kept"] for start in starts[0]]] * 2
        for one, other in zip(*starts, strict=True):
            assert one["objective"] == pytest.approx(other["objective"], rel=1e-5)


def test_a_sweep_is_left_and_collected_later(
    slurm: Slurm,
    folder: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = folder / "sweep"
    sbatch = ['hydra.launcher.setup=["export HERE=1"]', "hydra.launcher.additional={comment: mine}"]
    runs = ["neuron=0,1,2", "stimulus.std=0.5", "hydra.launcher.group_size=2", *sbatch, f"out={results}"]
    (folder / "hold-0.5").touch()
    (folder / "fail-1").touch()
    tasks = slurm.states().keys()
    assert main(command(*runs, "hydra.launcher.wait=false")) == 0
    assert f"the tasks go on; the same command with out={results} collects them" in capsys.readouterr().out
    own = slurm.states().keys() - tasks
    assert len(own) == 2
    (script,) = results.glob(".slurm/*_submission.sh")
    assert {"export HERE=1", "#SBATCH --comment=mine"} <= set(script.read_text().splitlines())

    with monkeypatch.context() as elsewhere:  # where nobody answers
        configuration = (slurm.folder / "slurm.conf").read_text()
        (folder / "slurm.conf").write_text(
            re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1\nMessageTimeout=1", configuration)
        )
        elsewhere.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        assert main(command(*runs)) == 1
        assert "Slurm does not answer" in capsys.readouterr().err

    head = start(*runs)
    assert "on their way already: 3 runs, submitted: 0 runs" in read_until(head, "slurm")
    head.send_signal(signal.SIGINT)
    code, output = end(head)
    assert (code, "the tasks go on" in output) == (130, True), output
    assert {slurm.states()[task] for task in own} <= {"PENDING", "RUNNING"}

    head = start(*runs)
    read_until(head, "slurm")
    (folder / "hold-0.5").unlink()
    code, output = end(head)
    assert (code, len(re.findall("failed neuron=1: .*told to fail", output))) == (1, 1), output
    before = finished(results)
    assert statuses(results) == {"completed": 2, "failed": 1}

    (folder / "fail-1").unlink()
    assert main(command(*runs)) == 0
    assert "submitted: 1 run in 1 task" in capsys.readouterr().out
    assert len(slurm.states().keys() - tasks - own) == 1
    assert statuses(results) == {"completed": 3}
    assert before.items() <= finished(results).items()


MISTAKES = {
    "partition=nope": "invalid partition specified: nope",
    "gpus_per_node=2": "Invalid generic resource",
    "time_min=0": "hydra.launcher.time_min=0; expected 1 or more",
    "mem_gb=-1": "hydra.launcher.mem_gb=-1.0; expected a positive number",
    "group_size=0": "hydra.launcher.group_size=0; expected 1 or more, or null",
    "tim_min=5": "hydra.launcher.tim_min is no setting; expected time_min (did you mean that?)",
    "additional={array: 1-3}": "hydra.launcher.additional.array=1-3; expected an option of sbatch other than",
    "setup=module": "hydra.launcher.setup=module; expected a list",
}


@pytest.mark.parametrize(("mistake", "told"), MISTAKES.items())
def test_mistakes_are_told_in_one_line(
    folder: Path, mistake: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("neuron=0,1", "stimulus.std=1", f"out={folder / 'sweep'}", f"hydra.launcher.{mistake}")) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), told in error) == (1, True), error
    assert not list(folder.glob("sweep/.slurm/*.json"))  # nothing is on its way


def without_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def without_submitit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)


@pytest.mark.parametrize(
    ("miss", "told"),
    [
        (without_sbatch, "needs sbatch, which is not on this machine; expected a login node of a Slurm cluster"),
        (without_submitit, "needs submitit. Try: pip install submitit"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    folder: Path,
    miss: Callable[[pytest.MonkeyPatch], None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    miss(monkeypatch)
    assert main(command("neuron=0,1", "stimulus.std=1", f"out={folder / 'sweep'}")) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), told in error) == (1, True), error
