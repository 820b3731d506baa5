"""However the process is treated from outside, finished runs stay finished, and errors are one line."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tiny_runs import TINY, result

from openretina_cli.shortage import explain_shortage

OPTIMIZE = (sys.executable, "-m", "openretina_cli", "optimize", *TINY, "neuron=1", "output=minimal")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}

Done = subprocess.CompletedProcess[str]


def shell(
    command: str, redirection: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {command} {redirection}"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False, preexec_fn=prepare,
    )  # fmt: skip


@pytest.mark.parametrize("redirection", [">&- 2>&- <&-", ">/dev/full"])
def test_a_finished_run_does_not_fail_because_nobody_can_listen(tmp_path: Path, redirection: str) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = shell(shlex.join([*OPTIMIZE, f"out={tmp_path / 'run'}"]), redirection)
    assert done.returncode == 0
    assert result(tmp_path / "run")["status"] == "completed"
    expected = "openretina: warning: standard output could not be written: No space left on device\n"
    assert done.stderr == (expected if redirection == ">/dev/full" else "")


def test_output_that_is_all_there_is_and_gets_lost_is_a_failure() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = shell(shlex.join([sys.executable, "-m", "openretina_cli", "--version"]), ">/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(("ignored", "number", "code"), [(False, signal.SIGHUP, 129), (True, signal.SIGTERM, 143)])
def test_a_terminal_that_closes_ends_the_command_cleanly_except_under_nohup(
    tmp_path: Path, ignored: bool, number: signal.Signals, code: int
) -> None:
    endless = ("stopper.max_iterations=1000000", f"out={tmp_path / 'run'}")
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*OPTIMIZE, *endless], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT,
        preexec_fn=partial(signal.signal, signal.SIGHUP, handler),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("optimizing")
        process.send_signal(signal.SIGHUP)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (code, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["respond", "tune"])
def test_ctrl_c_leaves_whole_findings_and_the_same_command_goes_on(verb: str, tmp_path: Path) -> None:
    for neuron in (0, 2):
        run = [*OPTIMIZE[:-2], f"neuron={neuron}", "output=minimal", f"out={tmp_path / f'neuron={neuron}'}"]
        subprocess.run(run, env=ENVIRONMENT, capture_output=True, check=True)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    model = [word for word in TINY if word.startswith("model")]
    command = [sys.executable, "-m", "openretina_cli", verb, str(tmp_path), *model, "device=cpu"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Tiny")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "openretina: error: interrupted\n")
    whole = {"respond": 6, "tune": 3}[verb]  # files that appear together
    for folder in (tmp_path, *tmp_path.glob("neuron=*")):
        assert len({path for path in folder.glob("[!.]*") if path.is_file()} - before) in (0, whole)
    assert not list(tmp_path.rglob("*.partial-*"))
    subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True, timeout=300)
    there = {path.name for path in {path for path in tmp_path.rglob("*") if path.is_file()} - before}
    assert there >= {f"{verb}.finding.json", {"respond": "response_matrix.npz", "tune": "tuning.csv"}[verb]}


def test_ctrl_c_leaves_no_part_of_a_probe_and_the_same_command_goes_on(tmp_path: Path) -> None:
    known = ["model.frame_rate=20", "model.pixel_size=50", "amplitude=1", "neuron=all", "device=cpu"]
    model = [word for word in TINY if word.startswith("model")]
    command = [sys.executable, "-m", "openretina_cli", "probe", *model, *known, f"out={tmp_path / 'out'}"]
    pipe, numbers = subprocess.PIPE, {"probe.csv", "probe.npz", "probe.json"}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("bars"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "openretina: error: interrupted\n")
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there & numbers in (set(), numbers)
    assert "unfinished" in there
    assert not list(tmp_path.rglob("*.partial-*"))
    subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True, timeout=300)
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {*numbers, *(f"neuron_{neuron}.png" for neuron in range(3))}


def test_a_machine_without_memory_is_one_line(tmp_path: Path) -> None:
    command = shlex.join([*OPTIMIZE, f"out={tmp_path / 'run'}"])
    done = shell(command, "", partial(resource.setrlimit, resource.RLIMIT_AS, (300_000_000, 300_000_000)))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("openretina: error: ")


@pytest.mark.parametrize("amount", [5, 6, 8])  # with 4, Python itself does not start
@pytest.mark.parametrize("output", ["minimal", "full"])
def test_few_descriptors_are_enough_or_one_line(tmp_path: Path, amount: int, output: str) -> None:
    command = shlex.join([*OPTIMIZE, f"output={output}", f"out={tmp_path / 'run'}"])
    done = shell(command, "", partial(resource.setrlimit, resource.RLIMIT_NOFILE, (amount, amount)))
    assert done.returncode in (0, 1, 2)
    assert done.stderr.count("\n") == (done.returncode != 0)
    assert (tmp_path / "run" / "result.json").exists() == (done.returncode == 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (OSError(24, "Too many open files"), "too many files"),
        (ImportError("libtorch.so: cannot open shared object file: Too many open files"), "too many files"),
        (PermissionError(13, "Permission denied", "/there"), "/there: Permission denied"),
    ],
)
def test_a_shortage_is_named(error: Exception, words: str) -> None:
    outer = ValueError("because of something else")
    outer.__cause__ = error
    assert words in str(explain_shortage(outer))
    assert explain_shortage(ValueError("a fault of the program")) is None
