"""Brings the notebooks of `examples/` into the documentation before Sphinx reads its sources, with a page of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sphinx.application import Sphinx

INDEX = """# Notebooks

The notebooks of `examples/`, as they are run by the tests.

```{{toctree}}
:maxdepth: 1

{names}
```
"""


def copy_notebooks(app: Sphinx) -> None:
    """Copy what is newer than its copy, with the modules beside it, and remove copies of notebooks that are gone."""
    source, folder = Path(app.srcdir).parent / "examples", Path(app.srcdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    files = [*source.glob("*.ipynb"), *source.glob("*.py")]
    for path in files:
        copy = folder / path.name
        if not copy.is_file() or copy.stat().st_mtime < path.stat().st_mtime:
            shutil.copy(path, copy)
    for copy in {*folder.glob("*.ipynb")} - {folder / path.name for path in files}:
        copy.unlink()
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    index, text = folder / "index.md", INDEX.format(names="\n".join(names))
    if not index.is_file() or index.read_text(encoding="utf-8") != text:
        index.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx call `copy_notebooks`."""
    os.environ["TTY_COMPATIBLE"] = (
        "0"  # rich draws no bars for commands in notebooks, whatever the kernel says of colours
    )
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True}
