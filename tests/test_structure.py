"""The walls of design: data falls from the top floor to the ground, and imports point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "openretina_cli"

FLOORS = (
    ("__main__",),
    ("main",),
    ("verbs",),
    ("validation", "finding", "export", "api", "neighbour"),
    ("format", "probe"),
    ("run",),
    ("report",),
    ("loop",),
    ("objective", "constraint", "penalty", "stimulus", "output", "simulation", "completion", "gradient"),
    ("masks", "separable"),
    ("analysis", "models", "limits", "reducer", "stopper", "optimizer", "config", "terminal"),
    ("store",),
    ("checks", "web_address", "shortage"),
    ("errors",),
    ("text", "filters"),
)
"""The rooms of each floor, from the top down; a room may import from lower floors only."""
FLOOR = {name: -number for number, names in enumerate(FLOORS) for name in names}

WITHOUT_TORCH = [
    "api",
    "checks",
    "completion",
    "config",
    "errors",
    "export",
    "format",
    "main",
    "neighbour",
    "output",
    "probe",
    "report",
    "run/command",
    "run/currency",
    "run/finished",
    "run/launcher",
    "run/placement",
    "run/plan",
    "run/single",
    "run/slurm",
    "run/slurm_queue",
    "run/slurm_watch",
    "run/sweep",
    "shortage",
    "store",
    "terminal",
    "text",
    "verbs",
]
"""What answers help and mistakes."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def every_import(path: Path) -> list[str]:
    """The modules that a file imports, those for the type checker too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


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
    assert here in FLOOR, f"say on which floor {here} is"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "openretina_cli" or len(parts) < 2 or parts[1] == here:
            continue
        assert FLOOR[parts[1]] < FLOOR[here], f"{here} imports {module}"


def nodes(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def _names_a_stream(node: ast.AST) -> bool:
    """Whether a node is `print`, or names standard output or error as in `sys.stdout`."""
    if isinstance(node, ast.Name):
        return node.id == "print"
    if isinstance(node, ast.ImportFrom):
        return node.module == "sys" and any(alias.name in STREAMS for alias in node.names)
    is_of_sys = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    return is_of_sys and node.attr in STREAMS


STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def test_only_the_terminal_and_main_write_to_a_stream() -> None:
    users = {room(path) for path in FILES for node in nodes(path) if _names_a_stream(node)}
    assert users == {"terminal", "main"}


def _renames(node: ast.AST) -> bool:
    """Whether a node renames a file: `os.replace`, `Path.rename` and their like; `str.replace` takes two arguments."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil"):
        return node.func.attr in ("replace", "rename", "renames", "move")
    return node.func.attr == "rename" or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords)


def test_only_the_store_renames_files() -> None:
    users = {room(path) for path in FILES for node in nodes(path) if _renames(node)}
    assert users == {"store"}


ONLY = {"rich": {"terminal"}, "hydra": {"config"}, "omegaconf": {"config"}}
"""Libraries, each with the rooms that may import it."""


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_by_its_room_only(library: str) -> None:
    users = {room(path) for path in FILES for module in every_import(path) if module.split(".")[0] == library}
    assert users == ONLY[library]


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_help_and_settings_name_no_torch_at_the_top_of_a_file(name: str) -> None:
    files = sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    for path in files:
        top = ast.parse(path.read_text(encoding="utf-8")).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        assert not [found for found in names if found.split(".")[0] == "torch"], path


READERS = {"read_text", "read_bytes", "load", "loads", "safe_load", "fromfile", "genfromtxt", "loadtxt"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_store_and_models_read_what_others_wrote(path: Path) -> None:
    if room(path) in ("store", "models"):
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in READERS]


SIBLINGS = ("objective", "constraint", "gradient", "stimulus", "output", "format", "probe", "verbs")
OPTIONS = [path for name in SIBLINGS for path in (PACKAGE / name).glob("*.py")]
SHARED = ("base", "cells", "files", "motion", "stack", "view")
"""Files of an option's room that its options may import, besides those in folders of the room."""


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_option_or_verb_imports_no_other(path: Path) -> None:
    own = f"openretina_cli.{room(path)}."
    siblings = [name.removeprefix(own) for name in imports(path) if name.startswith(own)]
    assert not [name for name in siblings if "." not in name and name not in SHARED]


VERBS = [path for path in (PACKAGE / "verbs").glob("*.py") if path.stem != "__init__"]


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_a_verb_says_in_one_line_what_it_does_and_has_help_completion_and_a_run(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    line = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert 10 < len(line) <= 53, "openretina --help shows it beside the verb, in 80 columns"
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    wanted = {"help_text": ["argv"], "run": ["argv"], "complete": ["before", "word"]}
    assert {name: functions.get(name) for name in wanted} == wanted


ROOMS = ("objective", "reducer", "constraint", "gradient", "penalty", "stopper", "stimulus")


def _classes(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_no_room_asks_which_option_another_rooms_object_is() -> None:
    files = [path for name in ROOMS for path in [PACKAGE / f"{name}.py", *(PACKAGE / name).glob("*.py")]]
    bases = {"AbstractObjective", "Constraint", "Penalty", "ResponseReducer"}  # what users hand over is checked against
    options = {name for path in files if path.is_file() for name in _classes(path)} - bases
    for path in FILES:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance":
                named = {node.id for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)}
                assert not named & options, path
