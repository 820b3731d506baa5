"""What all tests share: the reference ensemble and numbers, and the real command in a subprocess."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from real_parts import missing
from report_runs import finished_runs, reported_sweep

from openretina_cli.models.ensemble import load_ensemble
from openretina_cli.models.twin import EnsembleModel

DATA = Path(__file__).parent / "data"
CORE_READOUTS = DATA / "core_readout.tar.xz"
# What would change what the commands under test print, or whom they ask.
CHANGING = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "HYDRA_FULL_ERROR", "OC_CAUSE")
for name in [*os.environ]:
    if name in CHANGING or name.lower().endswith("_proxy"):
        del os.environ[name]
# No test is timed: a machine that stalls for a moment is no fault of the code.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
os.environ["TERM"] = "xterm"  # a dumb terminal shows no progress
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def ensemble_directory() -> Path:
    return DATA / "ensemble"


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of core + readout checkpoints; tests/data/README.md says what is in it."""
    folder = tmp_path_factory.mktemp("core_readout")
    with tarfile.open(CORE_READOUTS) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def golden() -> Mapping[str, NDArray[np.float32]]:
    """Numbers made with openretina 1.1.1; tests/data/README.md says which."""
    with np.load(DATA / "ensemble.npz", allow_pickle=False) as numbers:
        return dict(numbers)


@pytest.fixture(scope="session")
def ensemble(ensemble_directory: Path) -> EnsembleModel:
    return load_ensemble(ensemble_directory)


@pytest.fixture(scope="session")
def centered_ensemble(ensemble_directory: Path) -> EnsembleModel:
    return load_ensemble(ensemble_directory, center_readouts=True)


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell starts what runs in the background without Ctrl-C, and the commands under test would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def openretina(tmp_path: Path) -> Command:
    """The real command, in a subprocess, in an empty working directory."""

    def run(*arguments: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "openretina_cli", *arguments],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "100", **environment},
            capture_output=True,
            text=True,
            timeout=300,  # a hang is a failure, not a wait
            check=False,
        )

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts, or mounts again, a disk of some KiB; see `real_parts` for where that is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")

    def size(kib: int) -> Path:
        again = "remount," if disk.is_mount() else ""
        arguments = ["-t", "tmpfs", "-o", f"{again}size={kib}k", "tmpfs", str(disk)]
        if mount is None or subprocess.run([mount, *arguments], capture_output=True, check=False).returncode:
            missing("a small disk", "only root can mount one")
        return disk

    yield size
    if disk.is_mount():
        subprocess.run([unmount or "", str(disk)], capture_output=True, check=True)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished runs."""
    return finished_runs(tmp_path_factory)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported sweep, with broken runs among the others."""
    return reported_sweep(tmp_path_factory)
