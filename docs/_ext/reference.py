"""Writes the reference before Sphinx reads its sources: options, commands and Python names, as the package has them.

Options come from the folders and comments of `configs/`, as `--help` has them; types and texts from the constructors
that `_target_` names. A new option, group, verb or public name is in the reference with no edit here.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import openretina_cli
from openretina_cli.config.class_import import find_class
from openretina_cli.config.help import Setting, settings_of, title_of
from openretina_cli.config.signature import read_signature
from openretina_cli.store.package import PACKAGE, config_directory, own_text, own_yaml

CONFIGS = config_directory()
TARGET = "_target_"
GLOBAL = "# @package _global_"
"""Marks a YAML whose keys are those of the command line, without the name of its group."""


def plain(text: str) -> str:
    """A text in which Markdown finds no markup of its own."""
    return re.sub(r"([\\<*_\[\]])", r"\\\1", text)


def definitions(rows: Iterable[tuple[Setting, str, str]]) -> Iterator[str]:
    """Settings as they are typed with their defaults and types, and what they mean."""
    for setting, prefix, kind in rows:
        default = "required" if setting.value == "???" else f"`{setting.value}`"
        of = f", `{kind}`" if kind else ""
        yield from ["", f"`{prefix}{setting.key}` = {default}{of}", f": {plain(setting.help) or 'See the class.'}"]


def targets_of(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The classes that a YAML names, each with the prefix of its settings."""
    if isinstance(value, dict):
        if isinstance(value.get(TARGET), str) and value[TARGET].startswith("openretina_cli."):
            yield prefix, value[TARGET]
        for key, inner in value.items():
            yield from targets_of(inner, f"{prefix}{key}.")


def types_of(targets: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The types of settings, from the signatures of the classes whose arguments they are."""
    found = {}
    for prefix, target in targets:
        signature = read_signature(target, TARGET)
        for name, parameter in signature.parameters.items() if signature else ():
            if parameter.annotation is not parameter.empty:
                found[prefix + name] = str(parameter.annotation)
    return found


def class_text(target: str) -> Iterator[str]:
    """The docstring of a class or function, folded away."""
    directive = "autoclass" if inspect.isclass(find_class(target, object, TARGET)) else "autofunction"
    yield from [f":::{{dropdown}} {target.rpartition('.')[2]}", "```{eval-rst}", f".. {directive}:: {target}", "```"]
    yield ":::"


def option_text(group: str, path: Path, described: set[str]) -> Iterator[str]:
    """One option: its title, its settings, and its class where no other option of the page has shown it."""
    is_global = GLOBAL in own_text(path)
    prefix = "" if is_global else f"{group.replace('/', '.')}."
    targets = [*targets_of(own_yaml(path))]
    kinds = types_of(targets)
    yield from [f"## {path.stem}", "", plain(title_of(path))]
    yield from definitions((setting, prefix, kinds.get(setting.key, "")) for setting in settings_of(path))
    if is_global:
        yield from ["", "```yaml", own_text(path).rstrip(), "```"]
    for _, target in targets[:1]:  # classes inside it are options of another group
        if target not in described:
            described.add(target)
            yield from ["", *class_text(target), ""]


def group_page(group: str, files: list[Path]) -> Iterator[str]:
    """All options of a group."""
    described: set[str] = set()
    yield from [f"# {group}=", "", f"Options of the group `{group}`, from `configs/{group}/`.", ""]
    for path in files:
        yield from option_text(group, path, described)
        yield ""


def settings_page(path: Path) -> Iterator[str]:
    """The settings that a command has beside its groups."""
    yield from [f"# Settings of openretina {path.stem}", "", plain(title_of(path)), ""]
    yield from definitions((setting, "", "") for setting in settings_of(path))


def commands_page() -> Iterator[str]:
    """What every verb prints for `--help`; of `optimize`, whose settings have pages of their own, the beginning."""
    yield from ["# Commands", ""]
    for path in sorted((PACKAGE / "verbs").glob("*.py")):
        if path.stem == "__init__":
            continue
        verb = __import__(f"openretina_cli.verbs.{path.stem}", fromlist=["help_text"])
        text = verb.help_text([]).partition("\nSettings\n")[0].rstrip()
        yield from [f"## openretina {path.stem}", "", inspect.getdoc(verb) or "", "", "```text", text, "```", ""]


def names_page() -> Iterator[str]:
    """Every name that `openretina_cli` exports."""
    yield from ["# Names of openretina_cli", "", "Each is imported when it is first used.", ""]
    for name in sorted(openretina_cli.__all__, key=str.lower):
        value = getattr(openretina_cli, name)
        kind = "autoclass" if inspect.isclass(value) else "autofunction" if callable(value) else "autodata"
        members = ["   :members:"] if kind == "autoclass" else []
        yield from [f"## {name}", "", "```{eval-rst}", f".. {kind}:: openretina_cli.{name}", *members, "```", ""]


def pages() -> Iterator[tuple[str, Iterator[str]]]:
    """Names and contents of all pages."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(CONFIGS.glob("**/*/*.yaml")):
        groups.setdefault(path.parent.relative_to(CONFIGS).as_posix(), []).append(path)
    for group, files in groups.items():
        yield f"options/{group.replace('/', '-')}", group_page(group, files)
    for path in sorted(CONFIGS.glob("*.yaml")):
        yield f"settings/{path.stem}", settings_page(path)
    yield "commands", commands_page()
    yield "names", names_page()


def write_pages(app: Sphinx) -> None:
    """Write the pages that changed, and remove those of options that are gone."""
    folder = Path(app.srcdir) / "reference" / "generated"
    os.environ["COLUMNS"] = "100"  # help is as wide as the terminal
    written = set()
    for name, lines in pages():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.add(path)
    for path in {*folder.rglob("*.md")} - written:
        path.unlink()


def keep_bars(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep the bars of a norm, |x|, which reStructuredText would take for a substitution."""
    del app, what, name, value, options
    lines[:] = ["`".join(escaped(line.split("`"))) for line in lines]


def escaped(parts: list[str]) -> list[str]:
    """Parts of a line between backticks, with bars escaped in those that are no code."""
    return [part if number % 2 else part.replace("|", r"\|") for number, part in enumerate(parts)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx call `write_pages`."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", keep_bars)
    return {"parallel_read_safe": True}
