"""The walls of design: data falls from the top floor to the ground, and imports point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "openretina_cli"

FLOORS = {
    "text": 0,
    "errors": 0,
    "web_address": 1,
    "config": 1,
    "models": 1,
    "store": 1,
    "optimization": 1,
    "artifacts": 1,
    "simulation": 1,
    "terminal": 1,
    "build": 2,
    "solver": 2,
    "result": 2,
    "drawing": 2,
    "pipeline": 2,
    "validation": 2,
    "report": 2,
    "sweep": 3,
    "help_text": 4,
    "shortage": 4,
    "hydra_errors": 4,
    "overrides": 4,
    "composer": 4,
    "single_run": 4,
    "hydra_app": 4,
    "models_verb": 4,
    "validate_verb": 4,
    "render_verb": 4,
    "report_verb": 4,
    "completion": 4,
    "cli": 5,
    "__main__": 6,
}
"""The floor of every room; a room may import from lower floors only."""

NEIGHBOURS = {
    ("config", "web_address"),
    ("models", "web_address"),
    ("artifacts", "store"),  # pictures are drawn from a run's folder, and its files have one owner of their names
    ("models", "store"),
    ("config", "store"),
    ("simulation", "models"),  # the simulated retina's twins are trained through the project's own model classes
    ("simulation", "store"),
    ("pipeline", "drawing"),
    ("solver", "build"),
    ("result", "build"),
    ("result", "solver"),
    ("pipeline", "result"),
    ("pipeline", "solver"),
    ("validation", "build"),
    ("errors", "text"),
    ("simulation", "terminal"),
    ("composer", "overrides"),
    ("hydra_app", "overrides"),
    ("hydra_errors", "overrides"),
    ("single_run", "composer"),
    ("hydra_app", "composer"),
    ("hydra_app", "single_run"),
    ("validate_verb", "composer"),
    ("validate_verb", "help_text"),
    ("completion", "composer"),
    ("completion", "models_verb"),
    ("completion", "render_verb"),
    ("models_verb", "composer"),
    ("models_verb", "help_text"),
}
"""Arrows on one floor that are meant."""

WITHOUT_TORCH = [
    "cli",
    "completion",
    "composer",
    "config",
    "drawing",
    "errors",
    "help_text",
    "hydra_app",
    "hydra_errors",
    "models_verb",
    "overrides",
    "render_verb",
    "report",
    "report_verb",
    "single_run",
    "store",
    "terminal",
    "text",
    "validate_verb",
]
"""What answers help and mistakes."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path) -> list[str]:
    """The modules that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _is_type_checking(node)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "openretina_cli" else []
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in FLOORS, f"say on which floor {here} is"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "openretina_cli" or len(parts) < 2 or parts[1] == here:
            continue
        assert FLOORS[parts[1]] < FLOORS[here] or (here, parts[1]) in NEIGHBOURS, f"{here} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_terminal_prints(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_only_the_terminal_imports_rich() -> None:
    users = {room(path) for path in FILES for module in imports(path) if module.split(".")[0] == "rich"}
    assert users == {"terminal"}


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_help_and_settings_name_no_torch_at_the_top_of_a_file(name: str) -> None:
    files = sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    for path in files:
        top = ast.parse(path.read_text(encoding="utf-8")).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        assert not [found for found in names if found.split(".")[0] == "torch"], path


READERS = {"read_text", "read_bytes", "load", "loads", "safe_load", "fromfile", "genfromtxt", "loadtxt"}
MAY_READ = {
    "help_text.py",  # the YAML of the package, and of the user's config folder
    "models_verb.py",  # likewise
    "optimization/start.py",  # the file that the user's stimulus.file names
    "report/page.py",  # parts of the page, which come with the package
    "simulation/training.py",  # what the same process has written
    "artifacts/drawing_process.py",  # a pipe between two processes of this program
}
"""Files outside store/ and models/ that read bytes which no stranger wrote."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_store_and_models_read_what_others_wrote(path: Path) -> None:
    if room(path) in ("store", "models") or path.relative_to(PACKAGE).as_posix() in MAY_READ:
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in READERS]
