"""However a sweep ends, finished runs are safe, nothing half-made is in sight, and the same command goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from openretina_cli.config.template import uninterrupted
from openretina_cli.main import main

NEURONS = 100
# Other moments in every session of tests, so early that a machine that stalls for seconds does not finish meanwhile.
MOMENTS = [f"{tenth}0 of {NEURONS}" for tenth in random.sample(range(1, 4), 2)]
SWEEP = (
    *("optimize", "-m", f"neuron=0..{NEURONS - 1}", "model.members=[0]", "stopper.max_iterations=2"),
    *("output=minimal", "device=cpu"),
)


def command(out: Path) -> list[str]:
    return [sys.executable, "-m", "openretina_cli", *SWEEP, f"out={out}"]


@contextmanager
def started(out: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until_line(process: subprocess.Popen[str], text: str) -> None:
    """Read what the sweep prints until a line holds the text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the sweep ended without {text!r}: {process.stderr.read() if process.stderr else ''}")


def finished(out: Path) -> Mapping[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/result.json")}


def stimuli(out: Path) -> Mapping[str, torch.Tensor]:
    return {path.parent.name: torch.load(path, weights_only=True) for path in sorted(out.glob("*/stimulus.pt"))}


def assert_all_are_whole(out: Path) -> None:
    for folder in out.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            present = {path.name for path in folder.iterdir()}
            assert {"stimulus.pt", "history.csv", "response.csv", "result.json", "optimize.log", ".hydra"} == present
            json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert main([*SWEEP, f"out={out}"]) == 0
    return stimuli(out)


def assert_goes_on(out: Path, undisturbed: Mapping[str, torch.Tensor]) -> None:
    """The same command finishes the rest, makes nothing twice, and comes to what an undisturbed sweep comes to."""
    before = finished(out)
    done = subprocess.run(command(out), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    after = finished(out)
    assert len(after) == NEURONS
    assert before.items() <= after.items()
    assert not list(out.glob(".*.partial-*"))
    found = stimuli(out)
    assert found.keys() == undisturbed.keys()
    for name, stimulus in found.items():
        # other runs shared the stack, and float32 sums over another batch may be taken in another order
        torch.testing.assert_close(stimulus, undisturbed[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("moment", ["model ", *MOMENTS])
def test_a_killed_sweep_goes_on(tmp_path: Path, undisturbed: Mapping[str, torch.Tensor], moment: str) -> None:
    with started(tmp_path) as process:
        until_line(process, moment)
        process.kill()
    assert_all_are_whole(tmp_path)
    assert len(finished(tmp_path)) < NEURONS
    assert_goes_on(tmp_path, undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    with started(tmp_path) as process:
        until_line(process, f"10 of {NEURONS}")
        process.send_signal(number)
        output, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"the same command with out={tmp_path} goes on" in output
    assert "Traceback" not in error
    assert_all_are_whole(tmp_path)
    assert not list(tmp_path.glob(".*.partial-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_a_change_is_whole(number: signal.Signals) -> None:
    changed = []

    @uninterrupted()
    def inner() -> None:
        signal.raise_signal(number)
        changed.append("inner")

    @uninterrupted()
    def outer() -> None:
        inner()
        changed.append("outer")

    def interrupt(number: int, _: object) -> None:
        raise InterruptedError(number)

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(InterruptedError, match=str(int(number))):
            outer()
        assert changed == ["inner", "outer"]
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)


def test_two_sweeps_on_one_folder(tmp_path: Path, undisturbed: Mapping[str, torch.Tensor]) -> None:
    with started(tmp_path) as one, started(tmp_path) as other:
        for process in (one, other):
            _, error = process.communicate(timeout=300)
            assert process.returncode == 0, error
    assert_all_are_whole(tmp_path)
    assert_goes_on(tmp_path, undisturbed)


def test_a_full_disk_that_is_given_room(
    small_disk: Callable[[int], Path], undisturbed: Mapping[str, torch.Tensor]
) -> None:
    disk = small_disk(7500)  # room for about half of the runs, of some 150 KiB each
    done = subprocess.run(command(disk), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the disk takes no more: No space left on device" in done.stderr
    assert 0 < len(finished(disk)) < NEURONS
    assert_all_are_whole(disk)
    assert_goes_on(small_disk(200_000), undisturbed)
