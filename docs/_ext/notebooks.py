"""Brings the notebooks of `examples/` into the documentation before Sphinx reads its sources."""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx


def copy_notebooks(app: Sphinx) -> None:
    """Copy what is newer than its copy, and remove copies of notebooks that are gone."""
    source, folder = Path(app.srcdir).parent / "examples", Path(app.srcdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    for path in source.glob("*.ipynb"):
        copy = folder / path.name
        if not copy.is_file() or copy.stat().st_mtime < path.stat().st_mtime:
            shutil.copy(path, copy)
    for copy in folder.glob("*.ipynb"):
        if not (source / copy.name).is_file():
            copy.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx call `copy_notebooks`."""
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True}
