"""Source of user classes, found and digested without importing it."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from openretina_cli.store.digest import digest_of_text

INSTALLED = frozenset(("site-packages", "dist-packages"))
"""Names of the folders of installed packages."""
ENGINE = ("openretina_cli", "torch")
"""Packages that every run is made with. Their versions are recorded in each result under `versions`; an update of one
of them does not make finished runs stale."""


def source_digests(target: str) -> dict[str, str]:
    """What the class or function that a `_target_` names is made of.

    Args:
        target: dotted path of the class or function, such as `my_objectives.Mine`.

    Returns:
        For code of the user's own: a digest for each source file, by its path below the folder it is imported from. The
        files are that of the class, the packages it lies in, and what these import of the user's own code. For an
        installed package: its version, by its name. Empty for code that is not found and for packages in `ENGINE`.
    """
    top = target.partition(".")[0]
    if top in ENGINE:
        return {}
    root = _own_root(top)
    if root is None:
        return _installed(top)
    files: dict[Path, None] = {}
    _collect(target, root, files)
    return {path.relative_to(root).as_posix(): _digest_of_source(path) for path in files}


def _own_root(top: str) -> Path | None:
    """The folder from which a top-level module of the user's own is imported; None where it is installed or absent."""
    here = Path.cwd()
    if _module_file(here, top) is not None:
        return here
    try:
        found = importlib.util.find_spec(top)  # imports nothing, as the name has no dot
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    origin = Path(found.origin)
    if not INSTALLED.isdisjoint(origin.parts) or origin.is_relative_to(sysconfig.get_path("stdlib")):
        return None
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _installed(top: str) -> dict[str, str]:
    if top in sys.stdlib_module_names:
        return {}
    try:
        return {top: version(top)}
    except PackageNotFoundError:
        names = packages_distributions().get(top, [])  # reads the metadata of every package, which takes a while
        return {name: version(name) for name in names}


def _module_file(root: Path, name: str) -> Path | None:
    """The source file of a module below a folder, by its dotted name."""
    place = root.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.parent / f"{place.name}.py")
    return next((path for path in candidates if path.is_file()), None)


def _collect(name: str, root: Path, files: dict[Path, None]) -> None:
    """Add the files that importing a dotted name reads, and those that they import of the same folder."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        if not all(map(str.isidentifier, parts[:count])) or (path := _module_file(root, module)) is None:
            return  # the rest of the name is a class or function
        if path not in files:
            files[path] = None
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for imported in _imports(path, package):
                _collect(imported, root, files)


def _imports(path: Path, package: str) -> Iterator[str]:
    """The dotted names that a file imports, anywhere in it."""
    tree = _parsed(path)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # importing the file will say so
        return None


def _digest_of_source(path: Path) -> str:
    """Digest of a source file without its comments and layout, which change no number."""
    tree = _parsed(path)
    if tree is not None:
        return digest_of_text(ast.unparse(tree))
    try:
        return digest_of_text(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
