"""What all tests share: the reference ensemble and numbers, and the real command in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from openretina_cli.models.directory import load_ensemble
from openretina_cli.models.twin import EnsembleModel

DATA = Path(__file__).parent / "data"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def ensemble_directory() -> Path:
    return DATA / "ensemble"


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
