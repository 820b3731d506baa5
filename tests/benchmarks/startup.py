"""How long the command takes to answer: `make bench`. Prints medians over several runs; nothing passes or fails."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"
RUNS = 9
MODEL = ["model=ensemble_directory", f"model.path={DATA / 'ensemble'}"]
COMMANDS = {
    "openretina --help": ["--help"],
    "openretina optimize --help": ["optimize", "--help"],
    "a misspelt setting": ["optimize", "neurn=3"],
    "import torch, for comparison": [],
    "one MEI, tensors and tables": ["optimize", *MODEL, "output=minimal"],
    "one MEI, every artefact": ["optimize", *MODEL],
}


def seconds(arguments: list[str], place: Path) -> float:
    """Wall time of one process."""
    command = [str(Path(sys.executable).parent / "openretina"), *arguments]
    if not arguments:
        command = [sys.executable, "-c", "import torch"]
    started = time.perf_counter()
    subprocess.run(command, cwd=place, capture_output=True, check=False)
    return time.perf_counter() - started


def main() -> None:
    """Time every command and print a table."""
    sys.stdout.write(f"{platform.machine()}, Python {platform.python_version()}, median of {RUNS} (slowest) in s\n")
    for name, arguments in COMMANDS.items():
        with tempfile.TemporaryDirectory() as place:
            times = [seconds(arguments, Path(place)) for _ in range(RUNS)]
        sys.stdout.write(f"{name:<32} {statistics.median(times):6.2f}  ({max(times):.2f})\n")


if __name__ == "__main__":
    main()
