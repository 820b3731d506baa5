"""Interprets a pickle as data: a stack machine of its own, which calls nothing but entries of the caller's table.

The unpicklers of Python and torch hash every key that a pickle brings, follow shared objects as often as they occur,
and so can be kept busy for ever by 200 bytes. This machine does a fixed amount of work per byte, checks keys before
they are hashed, and measures what the result unfolds to before anyone walks over it.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Sized
from typing import Any

import numpy as np

MAX_OPERATIONS = 500_000
"""Opcodes in one pickle: about two seconds' work; published files have some 1,500."""

MAX_DEPTH = 64
"""Containers within containers; published files have 3."""

MAX_BITS = 1024
"""Bits of a whole number; longer ones take quadratic time to print."""

ENTRY_SIZE = 2**20
"""What any file may unfold to, in bytes and objects, on top of four times its own size."""


class Budget:
    """Counts what is made from a file, in bytes and objects, against a few times the file's size.

    Args:
        file_size: bytes in the file.
    """

    def __init__(self, file_size: int) -> None:
        self.limit = self.left = ENTRY_SIZE + 4 * file_size

    def spend(self, amount: int) -> None:
        """Account for `amount` bytes or objects before they are made.

        Raises:
            ValueError: the file would unfold to more than its budget.
        """
        self.left -= amount
        if self.left < 0:
            raise ValueError(f"it unfolds to more than {self.limit} bytes, far above its own size")


class StandIn:
    """Records what a pickle says of an object; `finished` makes data of the record once everything is read."""

    __hash__ = None  # type: ignore[assignment]  # no key of a mapping

    def set_state(self, state: Any) -> None:
        """Record the state that a pickle sets.

        Raises:
            ValueError: objects of this kind have none.
        """
        raise ValueError("a state for an object that has none")

    def add(self, items: list[Any]) -> None:
        """Record elements, or pairs of key and value, that a pickle fills the object with.

        Raises:
            ValueError: objects of this kind hold none.
        """
        raise ValueError(f"elements for a {type(self).__name__}")

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        """The data, the size that it unfolds to, and its height (0 for data without containers)."""
        raise NotImplementedError


class Skipped(StandIn):
    """An object of a class that is not known here, such as a loss: only the name of its class is kept.

    Args:
        name: `module.Class`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def set_state(self, state: Any) -> None:
        """Drop the state, which may lead back to the object."""

    def add(self, items: list[Any]) -> None:
        """Drop the elements or pairs."""

    def finished(self, unfold: Unfolding, depth: int) -> tuple[Any, int, int]:
        """The object, which holds nothing."""
        return self, 1, 0


class InertClass:
    """Stands for a class or function that is not known here; calling it makes a record.

    Args:
        module: module that the pickle names.
        name: name in the module.
    """

    def __init__(self, module: str, name: str) -> None:
        self.name = f"{module}.{name}"

    def __call__(self, *arguments: Any) -> Any:
        """A record of an object of the class."""
        return Skipped(self.name)


def checked_key(key: Any) -> Any:
    """A key that can be hashed in a fixed time, and whose collisions cannot be computed in advance.

    Raises:
        ValueError: the key is of another kind. Tuples are: hashing a tuple of shared tuples takes exponential time.
    """
    if key is None or isinstance(key, (str, bytes, float)):
        return key
    if isinstance(key, (int, np.integer)) and -(2**63) <= int(key) < 2**64:
        return key
    raise ValueError(f"a {type(key).__name__} as a key" + (" beyond 64 bits" if isinstance(key, int) else ""))


class Machine:
    """Interprets pickles one after the other.

    Args:
        find: entry of the table for `(module, name)`: a function that makes data, or a constant. It raises for names
            that are not in the table.
        refer: data that a persistent id stands for; raises where there is none.
        budget: what may be made.
    """

    def __init__(self, find: Callable[[str, str], Any], refer: Callable[[Any], Any], budget: Budget) -> None:
        self._find = find
        self._refer = refer
        self._budget = budget

    def run(self, stream: io.BytesIO) -> Any:
        """Interpret one pickle, from the stream's position to its STOP.

        Raises:
            ValueError: the pickle is malformed, cut off, or beyond the bounds.
            Exception: whatever else a malformed pickle leads to, such as an IndexError.
        """
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPERATIONS:
                raise ValueError(f"more than {MAX_OPERATIONS} operations")
            if opcode.name in _CONSTANTS:
                self._stack.append(argument)
            elif opcode.name not in ("PROTO", "FRAME", "STOP"):
                self._arrange(opcode.name, argument)
        if self._below:
            raise ValueError("an open mark at its end")
        return self._stack.pop()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _arrange(self, opcode: str, argument: Any) -> None:
        """Interpret an opcode of the stack and the memo, or pass it on."""
        match opcode:
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "POP" if self._stack:
                self._stack.pop()
            case "POP" | "POP_MARK":
                self._since_mark()
            case "DUP":
                self._push(self._stack[-1])
            case "GET" | "BINGET" | "LONG_BINGET":
                self._push(self._memo[int(argument)])
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self._memo[len(self._memo) if argument is None else int(argument)] = self._stack[-1]
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self._push({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case _:
                self._contain(opcode, argument)

    def _contain(self, opcode: str, argument: Any) -> None:
        """Interpret an opcode that makes or fills a container, or pass it on."""
        match opcode:
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET":
                self._push({"TUPLE": tuple, "LIST": list, "DICT": dict, "SET": set}[opcode[6:]]())
            case "TUPLE":
                self._push(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                if len(self._stack) < count:
                    raise IndexError("too few objects for a tuple")
                self._stack[-count:] = [tuple(self._stack[-count:])]
            case "LIST":
                self._push(self._since_mark())
            case "DICT":
                items = self._since_mark()
                self._push({})
                self._set(items)
            case "FROZENSET":
                self._push(frozenset(map(checked_key, self._since_mark())))
            case "APPEND":
                self._extend([self._stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self._extend(self._since_mark())
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._since_mark())
            case _:
                self._make(opcode, argument)

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target += items
        elif isinstance(target, set):
            target.update(map(checked_key, items))
        elif isinstance(target, StandIn):
            target.add(items)
        else:
            raise ValueError(f"elements for a {type(target).__name__}")

    def _set(self, items: list[Any]) -> None:
        target, pairs = self._stack[-1], list(zip(items[::2], items[1::2], strict=True))
        if isinstance(target, dict):
            target.update((checked_key(key), value) for key, value in pairs)
        elif isinstance(target, StandIn):
            target.add(pairs)
        else:
            raise ValueError(f"items for a {type(target).__name__}")

    def _make(self, opcode: str, argument: Any) -> None:
        """Interpret an opcode that looks up, makes or fills an object.

        Raises:
            ValueError: there is no such opcode.
        """
        match opcode:
            case "GLOBAL":
                self._push(self._find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = self._stack.pop(), self._stack.pop()
                if not (isinstance(name, str) and isinstance(module, str)):
                    raise ValueError("a global whose name is no text")
                self._push(self._find(module, name))
            case "REDUCE" | "NEWOBJ":
                arguments, make = self._stack.pop(), self._stack.pop()
                self._call(make, arguments)
            case "NEWOBJ_EX":
                if self._stack.pop() != {}:
                    raise ValueError("a call with arguments by name")
                self._make("NEWOBJ", None)
            case "OBJ":
                make, *arguments = self._since_mark()
                self._call(make, tuple(arguments))
            case "INST":
                arguments = self._since_mark()
                self._call(self._find(*argument.split(" ", 1)), tuple(arguments))
            case "BUILD":
                state = self._stack.pop()
                self._build(self._stack[-1], state)
            case "PERSID" | "BINPERSID":
                self._push(self._refer(self._stack.pop() if opcode == "BINPERSID" else argument))
            case _:
                raise ValueError(f"opcode {opcode}")

    def _call(self, make: Any, arguments: Any) -> None:
        if not callable(make) or not isinstance(arguments, tuple):
            raise ValueError(f"a call of a {type(make).__name__}")
        self._budget.spend(sum(len(argument) for argument in arguments if isinstance(argument, Sized)))
        self._push(make(*arguments))

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, StandIn):
            target.set_state(state)
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as torch's versions, are left out
            raise ValueError(f"attributes of a {type(target).__name__}")


_CONSTANTS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
"""Opcodes that push their argument."""


class Unfolding:
    """Makes plain data of what a machine returned; an object that occurs twice is made once.

    What the data would unfold to if every occurrence were an object of its own is computed on the way, from the
    inside out, and bounded by the budget, which bounds the work of walking over the data afterwards as well.

    Args:
        budget: the budget of the file.
        constants: types of further entries of the table that may stand for themselves.
    """

    def __init__(self, budget: Budget, constants: tuple[type, ...] = ()) -> None:
        self.budget = budget
        self._constants = (bool, float, np.generic, InertClass, *constants)
        self._made: dict[int, tuple[Any, int, int] | None] = {}

    def __call__(self, value: Any, depth: int = 0) -> tuple[Any, int, int]:
        """The plain value, the size that it unfolds to, and its height.

        Raises:
            ValueError: the value is nested too deeply, holds itself or a function, or unfolds to too much.
        """
        if value is None or isinstance(value, self._constants):
            return value, 1, 0
        if isinstance(value, int):
            if value.bit_length() > MAX_BITS:
                raise ValueError(f"a whole number of {value.bit_length()} bits")
            return value, 1, 0
        if isinstance(value, (str, bytes, bytearray)):
            return value, 1 + len(value), 0
        if id(value) not in self._made:
            self._made[id(value)] = None
            self._made[id(value)] = self._make(value, depth)
        made = self._made[id(value)]
        if made is None:
            raise ValueError("a container that holds itself")
        if made[1] > self.budget.limit:
            raise ValueError(f"it unfolds to more than {self.budget.limit} bytes, far above its own size")
        if depth + made[2] > MAX_DEPTH:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}")
        return made

    def _make(self, value: Any, depth: int) -> tuple[Any, int, int]:
        if depth > MAX_DEPTH:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}")
        if isinstance(value, StandIn):
            return value.finished(self, depth)
        if isinstance(value, dict):
            items, size, height = self._all(value.values(), depth)
            return dict(zip(value, items, strict=True)), size + sum(1 + len(str(key)) for key in value), height
        if isinstance(value, (list, tuple, set, frozenset)):
            items, size, height = self._all(value, depth)
            return type(value)(items), size, height
        raise ValueError("it holds a function or class")

    def _all(self, values: Any, depth: int) -> tuple[list[Any], int, int]:
        parts = [self(value, depth + 1) for value in values]
        size = 1 + sum(size for _, size, _ in parts)
        return [made for made, _, _ in parts], size, 1 + max((height for _, _, height in parts), default=0)
