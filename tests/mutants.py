"""Seeded mutations of files that a hostile author could write: of any bytes, of pickles, of YAML, of checkpoints.

The first part knows nothing of checkpoints, and serves other kinds of files too. Every function draws from the
generator that it is given, so that a seed names a mutant for good.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import subprocess
import warnings
import zipfile
from collections.abc import Callable, Mapping
from os import system
from pathlib import Path
from random import Random
from typing import Any

import torch

# --- any file


def flipped(content: bytes, draw: Random) -> bytes:
    """One to eight bits turned over."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: Random) -> bytes:
    """Cut off anywhere."""
    return content[: draw.randrange(len(content))]


def spliced(content: bytes, draw: Random) -> bytes:
    """A piece repeated, removed, or replaced by zeros or noise."""
    start = draw.randrange(len(content))
    piece = content[start : start + draw.randint(1, 2**12)]
    replacement = draw.choice([b"", piece * draw.randint(2, 50), bytes(len(piece)), draw.randbytes(len(piece))])
    return content[:start] + replacement + content[start + len(piece) :]


BYTES: list[Callable[[bytes, Random], bytes]] = [flipped, cut, spliced]

TEXTS = (
    "",
    "a.b",
    "../../etc",
    "\x1b]0;title\x07\x1b[31m",
    "[/b]",
    "a\0b",
    "a\ud800b",
    "=1+1",
    "\x9b2J",
    "x" * 10**5,
    "ü",
)
"""Names that have a meaning to some reader, or none to any."""

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    10**30,
    -(10**30),
    2**63,
    1e308,
    float("inf"),
    float("nan"),
    True,
    None,
    "5",
    1.5,
    2j,
    b"5",
    [5],
    {},
)
"""Values where a small whole number is expected."""


# --- pickles


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def call(canary: Path, draw: Random) -> Call:
    """A call that makes the canary's file."""
    program = f"open({str(canary)!r}, 'w')"
    return draw.choice(
        [
            Call(system, f"touch {canary}"),
            Call(eval, program),
            Call(exec, program),
            Call(open, str(canary), "w"),
            Call(subprocess.Popen, ["touch", str(canary)]),
            Call(torch.save, {}, str(canary)),
        ]
    )


def opcode_swapped(pickled: bytes, draw: Random) -> bytes:
    """One to three opcodes replaced by others, whose arguments then are what follows."""
    changed = bytearray(pickled)
    places = [place for _, _, place in pickletools.genops(pickled) if place is not None]
    for _ in range(draw.randint(1, 3)):
        changed[draw.choice(places)] = ord(draw.choice(pickletools.opcodes).code)
    return bytes(changed)


def shared(levels: int, width: int, opcode: bytes, leaf: bytes = b"K\x01") -> bytes:
    """Opcodes for a container that holds the container below it `width` times, and so on; it ends on the stack."""
    code = leaf + b"q\x000"
    for level in range(levels):
        code += b"(" + (b"h" + bytes([level])) * width + opcode + b"q" + bytes([level + 1]) + b"0"
    return code + b"h" + bytes([levels])


def text(value: str) -> bytes:
    """Opcode for a text."""
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def bomb(draw: Random) -> bytes:
    """Opcodes that push one value of a few bytes which stands for much, or for none."""
    many = draw.randint(2**10, 2**14)
    long_text = text("x" * draw.randint(10**4, 10**5))
    return draw.choice(
        [
            shared(draw.randint(25, 60), draw.randint(2, 5), draw.choice([b"t", b"l"])),
            shared(draw.randint(10, 60), 4, b"l", long_text),
            b"]q\x00h\x00a",  # holds itself
            b"]" * many + b"a" * (many - 1),  # deep
            b")" + b"\x85" * many,
            b"\x8b" + struct.pack("<i", many) + b"\x7f" * many,  # a long number
            b"N" + b"r" + struct.pack("<I", 2**31 + many),  # a place far out in the memo
            long_text + b"q\x000(" + b"h\x00" * many + b"l",
            long_text + b"q\x000c_codecs\nencode\nq\x010(" + b"h\x01h\x00X\x06\0\0\0latin1\x86R" * many + b"l",
            b"(" + b"K\x05" * many + b"lq\x000cbuiltins\nset\nq\x010(" + b"h\x01h\x00\x85R" * many + b"l",
            b"(" + b"K\x05" * many + b"tq\x000ctorch\nSize\nq\x010(" + b"h\x01h\x00\x85R" * many + b"l",
            b"\x8e" + struct.pack("<Q", 2**60) + b"abc",  # more bytes than there are
            b"ccollections\nOrderedDict\n}X\x08\0\0\0__call__K\x01sb",  # a state for a function
            b"}(" + b"".join(b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") + b"N" for k in range(many)) + b"u",
            b"}" + shared(draw.randint(25, 60), 2, b"t") + b"Ns",
        ]
    )


def pickled_with(pushed: bytes, *path: str) -> bytes:
    """A pickle of nested mappings with one key each, and a pushed value in the innermost."""
    return b"\x80\x02" + b"".join(b"}" + text(key) for key in path) + pushed + b"s" * len(path) + b"."


# --- YAML


def yaml_value(canary: Path, draw: Random) -> str:
    """YAML of one value that is unusual where a number or short text is expected."""
    return draw.choice(
        [
            "[" * draw.randint(10, 10**4),
            "{a: " * draw.randint(10, 10**3),
            "0x" + "f" * draw.randint(10, 10**5),
            "1" * draw.randint(20, 10**5),
            ":".join(["59"] * draw.randint(2, 10**4)),
            "x" * draw.randint(10, 10**5),
            draw.choice([".inf", "-.inf", ".nan", "1e999", "null", "true", "2020-01-01", "2020-99-99", "=", "-1", "0"]),
            "!!binary aGVsbG8=",
            "!!set {a, b}",
            "!!omap [a: 1]",
            "!!pairs [a: 1]",
            "!!python/tuple 3",
            f"!!python/object/apply:os.system ['touch {canary}']",
            "!!python/name:os.system",
            "{? [a, b] : c}",
            "{<<: {a: 1}}",
            '"\\e]0;title\\a\\e[31m"',
            '"\\ud800"',
            "&a [*a]",
            "*missing",
            f"[{', '.join(['1'] * draw.randint(2, 10**5))}]",
        ]
    )


def yaml_aliases(levels: int, width: int) -> str:
    """Anchored lists, each of which holds the one before `width` times; the last is called `last`."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join([*lines, f"last: &last [*a{levels - 1}]"]) + "\n"


# --- checkpoints in the published layout

CONFIG, INFO, WEIGHTS = "config_00000.yaml", "data_info_00000.pkl", "state_dict_00000.pth.tar"
FACTS = ("input_dimensions", "output_dimension", "group_assignment", "group_names")


def saved(value: Any, *, legacy: bool = False) -> bytes:
    """What `torch.save` writes."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def archive(records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as target:
        for name, content in records.items():
            target.writestr(name, content)
    return stream.getvalue()


def with_pickle(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A zip archive of torch with its pickle changed, and checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        records = {name: source.read(name) for name in source.namelist()}
    return archive({name: change(data) if name.endswith("/data.pkl") else data for name, data in records.items()})


class CheckpointMutants:
    """Draws hostile members of an ensemble: one with one file changed, by name of the kind of change.

    Args:
        source: folder of a good ensemble.
        canary: file that the calls in the mutants would make.
    """

    def __init__(self, source: Path, canary: Path) -> None:
        self.files = {name: (source / name).read_bytes() for name in (CONFIG, INFO, WEIGHTS)}
        self.canary = canary
        self.info: dict[str, dict[str, Any]] = pickle.loads(self.files[INFO])  # noqa: S301  # our own file
        self.weights = torch.load(io.BytesIO(self.files[WEIGHTS]), weights_only=True)
        self.legacy = saved(self.weights, legacy=True)
        self.kinds: list[Callable[[Random], dict[str, bytes]]] = [
            self.bytes_changed,
            self.legacy_changed,
            self.config_value,
            self.config_shape,
            self.info_swapped,
            self.info_value,
            self.info_number,
            self.info_names,
            self.info_call,
            self.weights_swapped,
            self.weights_values,
            self.weights_pickle,
            self.weights_archive,
            self.weights_call,
        ]

    def drawn(self, seed: int) -> tuple[str, dict[str, bytes]]:
        """The mutant of a seed: its kind, and its files' contents by name. Kinds take turns."""
        kind = self.kinds[seed % len(self.kinds)]
        return kind.__name__, {**self.files, **kind(Random(seed))}  # noqa: S311  # no secret, but a seed

    def bytes_changed(self, draw: Random) -> dict[str, bytes]:
        name = draw.choice([CONFIG, INFO, WEIGHTS])
        return {name: draw.choice(BYTES)(self.files[name], draw)}

    def legacy_changed(self, draw: Random) -> dict[str, bytes]:
        return {WEIGHTS: draw.choice(BYTES)(self.legacy, draw)}

    def config_value(self, draw: Random) -> dict[str, bytes]:
        value = yaml_value(self.canary, draw)
        lines = [line for line in self.files[CONFIG].decode().splitlines() if ":" in line and not line.endswith(":")]
        line = draw.choice(lines)
        key = draw.choice([line.partition(":")[0], "  new_key", "  " + "k" * 10**4])
        return {CONFIG: self.files[CONFIG].decode().replace(line, f"{key}: {value}", 1).encode()}

    def config_shape(self, draw: Random) -> dict[str, bytes]:
        bombs = yaml_aliases(draw.randint(2, 40), draw.randint(2, 20))
        key = draw.choice(["layers", "stack", "nonlinearity", "hidden_channels", "gaussian_mean_scale", "conv_type"])
        whole = [f"{bombs}model_config: *last\n", f"{bombs}model_config: {{{key}: *last}}\n"]
        whole += [f"model_config: {yaml_value(self.canary, draw)}\n", f"{yaml_value(self.canary, draw)}\n"]
        return {CONFIG: draw.choice(whole).encode()}

    def info_swapped(self, draw: Random) -> dict[str, bytes]:
        return {INFO: opcode_swapped(pickle.dumps(self.info, draw.choice([0, 2, 4, 5])), draw)}

    def info_value(self, draw: Random) -> dict[str, bytes]:
        session = next(iter(self.info))
        paths = [(session, draw.choice(FACTS)), (session,), (session, "group_names", "1"), ("new", "input_dimensions")]
        return {INFO: pickled_with(bomb(draw), *draw.choice(paths))}

    def info_number(self, draw: Random) -> dict[str, bytes]:
        number = draw.choice(NUMBERS)
        value = draw.choice([number, (number,), (32, 2, 50, 18, number), (32, number, 50, 18, 16), [number] * 113])
        changed = {name: {**facts, draw.choice(FACTS): value} for name, facts in self.info.items()}
        return {INFO: pickle.dumps(changed, draw.choice([2, 4, 5]))}

    def info_names(self, draw: Random) -> dict[str, bytes]:
        name, facts = draw.choice(TEXTS), next(iter(self.info.values()))
        changed = draw.choice(
            [
                {name: facts},
                {f"{i}{name[:9]}": facts for i in range(draw.randint(2, 2 * 10**4))},
                {session: {**old, "group_names": {1: name}} for session, old in self.info.items()},
            ]
        )
        first = next(iter(self.info))
        weights = {key.replace(first, name): value for key, value in self.weights.items()} if len(name) < 100 else {}
        if "\ud800" in name or not weights:
            return {INFO: pickle.dumps(changed)}
        return {INFO: pickle.dumps(changed), WEIGHTS: saved(weights)}

    def info_call(self, draw: Random) -> dict[str, bytes]:
        changed = {
            session: {**facts, draw.choice(FACTS): call(self.canary, draw)} for session, facts in self.info.items()
        }
        return {INFO: pickle.dumps(changed, draw.choice([2, 4, 5]))}

    def weights_swapped(self, draw: Random) -> dict[str, bytes]:
        return {WEIGHTS: with_pickle(self.files[WEIGHTS], lambda pickled: opcode_swapped(pickled, draw))}

    def weights_values(self, draw: Random) -> dict[str, bytes]:
        name = draw.choice(list(self.weights))
        old = self.weights[name]
        half = torch.zeros(1, dtype=torch.half)
        value = draw.choice(
            [
                torch.full_like(old, float("nan") if old.is_floating_point() else 7),
                torch.full_like(old, 1e38 if old.is_floating_point() else -7),
                old.to(draw.choice([torch.float64, torch.half, torch.bfloat16, torch.int32, torch.bool])),
                half.expand(2 ** draw.randint(5, 40)),
                torch.zeros(()).expand(old.shape),
                torch.zeros(0, 2**20),
                torch.zeros(2**10),
                torch.zeros(3, dtype=torch.complex64),
                torch.empty(3, device="meta"),
                torch.eye(3).to_sparse(),
                draw.choice(NUMBERS),
            ]
        )
        big = half.expand(2**20)
        pad = torch.zeros(2**21, dtype=torch.uint8)
        many = {"pad": pad, **{f"k{i}": big for i in range(draw.randint(10, 700))}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed = draw.choice([{**self.weights, name: value}] * 7 + [many, {draw.choice(TEXTS[:-2]): value}, {}])
            return {WEIGHTS: saved(changed, legacy=draw.random() < 0.2)}

    def weights_pickle(self, draw: Random) -> dict[str, bytes]:
        lies = [
            (b"K\x10", b"J\x00\xca\x9a\x3b"),
            (b"K\x01", b"J\xff\xff\xff\xff"),
            (b"K\x02", b"\x8a\x08" + b"\x7f" * 8),
        ]
        pickled = draw.choice([pickled_with(bomb(draw), "a"), b"\x80\x02" + bomb(draw) + b".", None])
        if pickled is None:
            old, new = draw.choice(lies)
            return {WEIGHTS: with_pickle(self.files[WEIGHTS], lambda pickled: pickled.replace(old, new))}
        raw = draw.random() < 0.3
        return {WEIGHTS: pickled if raw else with_pickle(self.files[WEIGHTS], lambda _: pickled)}

    def weights_archive(self, draw: Random) -> dict[str, bytes]:
        zeros = bytes(10 ** draw.randint(3, 7))
        plain = {"a/data.pkl": b"\x80\x02}.", "a/version": b"3\n"}
        return {
            WEIGHTS: draw.choice(
                [
                    archive({**plain, "a/data/0": zeros}, zipfile.ZIP_DEFLATED),
                    archive({**plain, "a/constants.pkl": b"\x80\x02)."}),
                    archive({"a/data.pkl": zeros}),
                    archive({**plain, "a/byteorder": b"big"}),
                    archive({"../../data.pkl": b"\x80\x02}.", "x" * 10**4 + "/data.pkl": b"\x80\x02}."}),
                    archive({f"a/{i}": b"" for i in range(draw.randint(1, 2000))}),
                    zeros,
                    b"<html>log in</html>",
                    self.files[INFO],
                ]
            )
        }

    def weights_call(self, draw: Random) -> dict[str, bytes]:
        changed = {**self.weights, draw.choice(list(self.weights)): call(self.canary, draw)}
        return {WEIGHTS: saved(changed, legacy=draw.random() < 0.5)}


def written(files: Mapping[str, bytes], folder: Path) -> None:
    """Put a mutant's files into a folder."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
