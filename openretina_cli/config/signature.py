"""Signatures of option classes, read from their source without importing it, and the checks that follow from them.

Importing an option imports torch, which takes longer than everything else that a misspelt setting needs.
"""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from inspect import Parameter, Signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from openretina_cli.checks import closest, spelt
from openretina_cli.errors import SettingError
from openretina_cli.location import PACKAGE

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
}
SEVERAL = {int: "whole numbers", float: "numbers", str: "names", list: "lists"}
EXAMPLES = {int: "1", float: "1.0", bool: "true", list[int]: "[0,1,2,3]", list[str]: "[NAME]"}
"""Values that show how a missing setting is given, by the type of the setting."""


class _Types(dict[str, Any]):
    """The types that settings have; a type of any other name is left to the class."""

    def __missing__(self, name: str) -> Any:
        return Any


TYPES = _Types(int=int, float=float, str=str, bool=bool, list=list, dict=dict, Literal=Literal, Annotated=Annotated)


@lru_cache
def _source(module: str) -> ast.Module | None:
    """The syntax tree of a module of this package; None for others."""
    package, *parts = module.split(".")
    file = PACKAGE.joinpath(*parts).with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")) if package == PACKAGE.name and parts and file.is_file() else None


def _of_function(function: ast.FunctionDef, bound: bool) -> Signature:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    required = [*[True] * (len(plain) - len(given.defaults)), *[False] * len(given.defaults)][bound:]
    named = [*zip(plain[bound:], required, strict=True)]
    named += zip(given.kwonlyargs, [default is None for default in given.kw_defaults], strict=True)
    parameters = [
        Parameter(
            item.arg,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if needed else None,
            annotation=ast.unparse(item.annotation) if item.annotation else Parameter.empty,
        )
        for item, needed in named
    ]
    return Signature([*parameters, *([Parameter("others", Parameter.VAR_KEYWORD)] if given.kwarg else [])])


def _defined(tree: ast.Module) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def _read(module: str, name: str) -> Signature | None:
    """The signature of a class or function of this package; of a class that has no constructor, its first base's."""
    tree = _source(module)
    node = _defined(tree).get(name) if tree else None
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, bound=False)
    if isinstance(node, ast.ClassDef):
        own = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        if "__init__" in own:
            return _of_function(own["__init__"], bound=True)
        plain = not node.decorator_list and node.bases and isinstance(node.bases[0], ast.Name)
        return _read(module, ast.unparse(node.bases[0])) if plain else None
    for item in tree.body if tree else []:
        if isinstance(item, ast.ImportFrom) and item.module and name in [alias.name for alias in item.names]:
            return _read(item.module, name)
    return None


@lru_cache
def read_signature(target: str, setting: str) -> Signature | None:
    """Read the signature of an option of this package from its source; None where that takes an import.

    Args:
        target: module and class.
        setting: the setting that names the class, for errors.

    Raises:
        SettingError: the package has no such module or class.
    """
    module, _, name = target.rpartition(".")
    if module.split(".")[0] != PACKAGE.name:
        return None
    if (tree := _source(module)) is None:
        raise SettingError(f"{setting}={target}: there is no module {module}")
    if name not in _defined(tree):
        raise SettingError(f"{setting}={target}: {module} has no class {name}", expected=closest(name, _defined(tree)))
    return _read(module, name)


def _type_of(parameter: Parameter) -> Any:
    annotation = parameter.annotation
    if annotation is Parameter.empty:
        return Any
    try:
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return eval(text, {"__builtins__": {}}, TYPES)  # noqa: S307  # a constructor's own annotation
    except (TypeError, AttributeError, NameError, SyntaxError):  # such as a member or an item of an unknown type
        return Any


class _MisfitError(Exception):
    """A value is not of its type."""


def _fit(kind: Any, value: Any) -> Any:
    """The value in its type: whole numbers become float, numbers text; a type that is not known takes all."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        for arm in inner:
            try:
                return _fit(arm, value)
            except _MisfitError:
                continue
        raise _MisfitError
    if origin is Annotated:
        return _fit(inner[0], value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits: dict[Any, bool] = {
        int: number and isinstance(value, int),
        float: number,
        str: isinstance(value, (str, int, float)),
        Literal: value in inner if origin is Literal else False,
        **{plain: isinstance(value, plain) for plain in (bool, list, dict, NoneType)},
    }
    if not fits.get(origin, True):
        raise _MisfitError
    if origin is list and inner:
        return [_fit(inner[0], item) for item in value]
    if origin is dict and inner:
        return {key: _fit(inner[1], item) for key, item in value.items()}
    return origin(value) if origin in (float, str) else value


def _in_words(kind: Any, words: dict[type, str]) -> str:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(arm, words) for arm in inner)
    if origin is Annotated:
        return _in_words(inner[0], words)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    of = f" of {_in_words(inner[0], SEVERAL)}" if origin is list and inner else ""
    return "null" if origin is NoneType else words.get(origin, "values") + of


def fitted(parameter: Parameter, value: Any, setting: str) -> Any:
    """Check a value against the type of an argument, and return the value in that type.

    Raises:
        SettingError: the value is of another type.
    """
    kind = _type_of(parameter)
    try:
        return _fit(kind, value)
    except _MisfitError:
        raise SettingError(f"{setting}={spelt(value)}", expected=_in_words(kind, WORDS)) from None


def example_of(parameter: Parameter | None) -> str:
    """A value with which a missing setting can be given: that of `Annotated[type, "example"]`, or one of the type."""
    kind = Any if parameter is None else _type_of(parameter)
    return str(get_args(kind)[1]) if get_origin(kind) is Annotated else EXAMPLES.get(kind, "VALUE")
