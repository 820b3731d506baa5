"""Reads YAML as plain data: no tags but tuples, and aliases only as far as the text that they unfold to stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import yaml

from openretina_cli.errors import ModelError, UnsafeFileError
from openretina_cli.models.foreign_file import one_line_errors, shown

MAX_SIZE = 20_000
"""Nodes, and 16 characters of their text each, after aliases have been replaced: about two seconds' work.
A published config has 40 nodes."""

MAX_DEPTH = 20
"""Containers within containers; a published config has 3."""

MAX_DIGITS = 100
"""Characters of a whole number; longer ones take quadratic time to print."""

_TAG = "tag:yaml.org,2002:"


def load_yaml(content: bytes, path: Path) -> Any:
    """What a YAML document holds: mappings, lists, tuples, texts, finite or infinite numbers, booleans and None.

    Dates are left as text. Keys are single names; merging (`<<`) is refused.

    Args:
        content: the document.
        path: the file it is from, for errors.

    Raises:
        UnsafeFileError: the document carries any tag but `!!python/tuple`.
        ModelError: the document is no YAML, nested too deeply, or unfolds to too much.
    """
    with one_line_errors(path, "YAML file"):
        try:
            loader = _DataLoader(content)
            loader.name = str(path)
            return loader.get_single_data()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ModelError(f"{path}, line {line}: {shown(str(error.problem))}", expected="YAML") from error


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MAX_DIGITS:
        raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_DIGITS} digits", node.start_mark)
    return loader.construct_yaml_int(node)


def _refuse_tag(loader: yaml.SafeLoader, node: yaml.Node) -> None:
    where = f"{loader.name}, line {node.start_mark.line + 1}"
    raise UnsafeFileError(f"{where}: tag {shown(node.tag)} is not plain data", expected="no tag but !!python/tuple")


class _DataLoader(yaml.SafeLoader):
    """A safe loader that measures the document while it is composed, before anything is made of it."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        **{_TAG + kind: yaml.SafeLoader.yaml_constructors[_TAG + kind] for kind in ("null", "bool", "float", "str")},
        **{_TAG + kind: yaml.SafeLoader.yaml_constructors[_TAG + kind] for kind in ("seq", "map")},
        _TAG + "int": _whole_number,
        _TAG + "python/tuple": _tuple,
        None: _refuse_tag,
    }
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # the stubs know no override
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._size = 0
        self._depth = 0
        self._measured: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node and record what it unfolds to and its height; an alias counts like a copy."""
        alias = self.check_event(yaml.AliasEvent)
        event, before = self.peek_event(), self._size  # type: ignore[no-untyped-call]  # not in the stubs
        mark = event.start_mark
        self._depth += 1
        self._size += 1
        self._bound(0, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and alias:
            if id(node) not in self._measured:
                raise yaml.composer.ComposerError(None, None, "an alias within what it stands for", mark)
            size, height = self._measured[id(node)]
            self._size += size
            self._bound(height, mark)
        elif node is not None:
            self._size += len(node.value) // 16 if isinstance(node, yaml.ScalarNode) else 0
            self._measured[id(node)] = self._size - before, 1 + self._height(node)
        return node

    def _height(self, node: yaml.Node) -> int:
        parts = node.value if isinstance(node, yaml.SequenceNode) else ()
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        return max((self._measured[id(part)][1] for part in parts), default=0)

    def _bound(self, height: int, mark: yaml.Mark) -> None:
        if self._size > MAX_SIZE:
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_SIZE} values, aliases counted", mark)
        if self._depth + height > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"values nested deeper than {MAX_DEPTH}", mark)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse keys that are not single names, and merging, which can grow."""
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _TAG + "merge":
                raise yaml.constructor.ConstructorError(None, None, "a key is not a single name", key.start_mark)
        super().flatten_mapping(node)
