"""The reference package's environment: made once, with pip, in a folder that git ignores."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from problem import ROOT

FOLDER = ROOT / "build" / "reference-env"
# Torch goes first, so that nothing else chooses another; the package itself goes without its own list, which asks for
# services that no stimulus needs.
PACKAGES = """
IPython jaxtyping matplotlib pandas standard-imghdr seaborn scipy tenacity tensorboard einops lightning hydra-core
omegaconf h5py opencv-python-headless imageio moviepy huggingface_hub tqdm pyyaml requests
"""
INSTALLS = (("torch==2.13.0",), ("--no-deps", "openretina==1.1.1"), tuple(PACKAGES.split()))


class NoReferenceError(Exception):
    """The reference package could not be installed."""


def _key() -> str:
    """Names what the environment is made of."""
    return hashlib.sha256(repr((INSTALLS, sys.version_info[:2])).encode()).hexdigest()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise NoReferenceError(said[-1] if said else f"{command[0]} exits with {done.returncode}")


def reference_python() -> Path:
    """The interpreter that has the reference package; its environment is made first where there is none.

    Raises:
        NoReferenceError: it could not be installed, for want of a network or else.
    """
    python, ready = FOLDER / "bin" / "python", FOLDER / ".ready"
    if ready.is_file() and ready.read_text() == _key():
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(FOLDER)])
    for packages in INSTALLS:
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    ready.write_text(_key())
    return python
