"""Makes the pictures of the gallery with the commands of its page: `make gallery`."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
PLATE = re.compile(
    r"```bash\n(?P<command>openretina .*?)```\n\n!\[[^\]]*\]\((?P<picture>gallery/[\w-]+\.png)\)", re.DOTALL
)
"""A command, and the picture that it makes."""


def main() -> None:
    """Run each command of the page and keep its figure, in 900 pixels of width."""
    for plate in PLATE.finditer((DOCS / "gallery.md").read_text(encoding="utf-8")):
        words = shlex.split(plate["command"])[1:]
        with tempfile.TemporaryDirectory() as folder:
            out = [f"out='{folder}/run'", "output=[tensor,tables,figure]", "output.figure.dpi=72", "device=cpu"]
            subprocess.run([sys.executable, "-m", "openretina_cli", *words, *out], check=True)  # noqa: S603
            shutil.copy(Path(folder) / "run" / "composition.png", DOCS / plate["picture"])


if __name__ == "__main__":
    main()
