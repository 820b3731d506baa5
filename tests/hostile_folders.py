"""Seeded hostile run folders, and the worker that runs every verb on them and reports what went wrong.

Run `python tests/hostile_folders.py SCRATCH FIRST STOP` to try mutants FIRST to STOP - 1 by hand; a line of JSON per
fault comes out, then one with the count.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from memory import forget_peak, peak_mb

SECRET = "a-secret-of-the-environment"  # noqa: S105  # of no account
COMMAND = ["optimize", "neuron=1", "stopper.max_iterations=1", "output=minimal", "device=cpu"]
LIMIT_SECONDS, LIMIT_MB, LONGEST_LINE = 20, 1024, 500
PATIENCE = 200
"""Seconds after which a command hangs, however busy the machine is; the limit above is of processor time."""
FILES = ("result.json", "stimulus.pt", "response.csv", ".hydra/config.yaml", "history.csv")
MADE = {
    *("result.json", "stimulus.pt", "response.csv", "history.csv", "failure.json", "optimize.log", ".hydra"),
    *("index.html", "summary.csv", "stimuli.npz", "stimulus.mp4", "composition.png"),
}
"""Names that may be in a run's folder after all verbs."""

Mutate = Callable[[Path, random.Random], None]

VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "1", "???", "x" * 10**6, "${oc.env:SECRET}", "${neuron}", "\ud800"),
    *("\x1b]0;t\x07", "[/b]", "$\\frac{", "\0"),
    *([], [[]], [None], [1, 2], ["a", "b"], [-1], [1e308, float("nan")], list(range(50_000)), ["c"] * 40),
    *({}, {"a": {}}, {"_target_": "canary.Canary"}, {"kind": "mei"}, {"": None}),
]  # fmt: skip


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a result as a tree."""
    tree = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    change(tree)
    (folder / "result.json").write_text(json.dumps(tree), encoding="utf-8")


def branches(tree: Any, inside: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Every mapping of a tree with each of its keys; `inside` keeps to one key of the top."""
    for key, value in tree.items():
        if not inside or key == inside:
            yield tree, key
            if isinstance(value, dict):
                yield from branches(value)


def put(folder: Path, dotted: str, value: Any) -> None:
    """Set one value of a result."""

    def change(tree: dict[str, Any]) -> None:
        *groups, last = dotted.split(".")
        for key in groups:
            tree = tree.setdefault(key, {})
        tree[last] = value

    edit(folder, change)


def instead(name: str, make: Callable[[Path], object]) -> Mutate:
    """Put something else in the place of a file."""

    def mutate(folder: Path, _: random.Random) -> None:
        (folder / name).unlink()
        make(folder / name)

    return mutate


def bind(path: Path) -> None:
    """Leave a socket in the place of a file; the names of sockets are short."""
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**36)


PLACES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": bind,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link out": lambda path: path.symlink_to(Path.cwd() / "runs" / "victim"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder": os.mkdir,
    "nothing": lambda path: None,
    "an empty file": lambda path: path.touch(),
    "a huge file": sparse,
    "UTF-16": lambda path: path.write_text("{}", encoding="utf-16"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\0\x80" * 50),
    "a byte order mark": lambda path: path.write_text("\ufeff{}", encoding="utf-8"),
}


def truncated(folder: Path, draw: random.Random) -> None:
    path = folder / draw.choice(FILES)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def flipped(folder: Path, draw: random.Random) -> None:
    path = folder / draw.choice(FILES)
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 3, 30))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def one_key_gone(folder: Path, draw: random.Random) -> None:
    def change(tree: dict[str, Any]) -> None:
        owner, key = draw.choice(list(branches(tree)))
        del owner[key]

    edit(folder, change)


def another_value(folder: Path, draw: random.Random, inside: str = "") -> None:
    def change(tree: dict[str, Any]) -> None:
        owner, key = draw.choice(list(branches(tree, inside)))
        owner[key] = draw.choice(VALUES)

    edit(folder, change)


def settings_value(folder: Path, draw: random.Random) -> None:
    another_value(folder, draw, "settings")


def user_class(folder: Path, draw: random.Random) -> None:
    own = {"_target_": "canary.Canary"}
    weighted = {"_target_": "openretina_cli.objective.weighted_sum.WeightedSum"}
    place, value = draw.choice([
        *[(f"settings.{group}", own) for group in ("objective", "reducer", "stopper", "optimizer", "model.module")],
        *[(f"settings.{group}.mine", own) for group in ("constraint", "penalty")],
        ("settings.objective", {**weighted, "terms": {"a": own}, "weights": {"a": 1.0}}),
        ("settings.optimizer", {"_target_": "canary.Canary", "lr": 1.0}),
    ])  # fmt: skip
    put(folder, place, value)


def excessive(folder: Path, draw: random.Random) -> None:
    target = {"_target_": "openretina_cli.constraint.temporal_lowpass.TemporalGaussianLowPass"}
    lowpass = {**target, "sigma": 1e9, "kernel_size": 10**9 + 1, "padding": "zeros"}
    put(folder, *draw.choice([
        ("settings.stopper.max_iterations", 10**9), ("settings.stopper.max_iterations", "1000000000"),
        ("settings.stimulus.frames", 10**7), ("settings.constraint.lowpass", lowpass),
        ("settings.stimulus.file", "/dev/zero"), ("settings.stimulus.file", "../victim"),
        ("settings.output.figure.dpi", 1200), ("lag_frames", 10**9), ("frame_rate_hz", 1e300),
        ("frame_rate_hz", 1e-300), ("pixel_size_um", 1e300), ("window_response_frames", [0, 2**31]),
        ("neurons", list(range(3000))),
        ("title", "x" * 10**6), ("title", "x" * 15_000), ("title", "\u65e5\u672c " * 500),
        ("channels", ["x" * 15_000, "y"]), ("title", "$\\frac{"), ("channels", ["$\\frac{", "\u65e5\u672c"]),
        ("warnings", ["w" * 15_000] * 200), ("channels", [f"c{index}" for index in range(300)]),
    ]))  # fmt: skip


def deep(folder: Path, draw: random.Random) -> None:
    depth = draw.choice((33, 900, 20_000, 100_000))
    opening, closing = draw.choice((("[", "]"), ('{"a":', "}")))
    whole = opening * depth + draw.choice(("", "1" + closing * depth))
    if draw.random() < 0.5:
        (folder / "result.json").write_text(whole)
    else:
        text = (folder / "result.json").read_text()
        (folder / "result.json").write_text(text.replace('"device": "cpu"', f'"device": {whole}', 1))


LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
YAML = [
    LAUGHS, "a: " + "[" * 50_000, "a: " * 2_000 + "1", "a: ${oc.env:SECRET}", "- " * 20_000, "? [a]\n: b", "<<: [a]",
    "a: !!python/object/apply:os.system ['touch executed']", "a: &a {b: *a}", "a: " + "1:" * 300_000 + "1",
    "\t", "%TAG ! x",
    "_target_: canary.Canary", "objective: {_target_: canary.Canary}", "a: 2001-99-99", "a: !!binary x",
    "a: " + "9" * 9_000,
]  # fmt: skip


def yaml_instead(folder: Path, draw: random.Random) -> None:
    """Write hostile YAML where the settings are looked for in it, as the result has none."""
    (folder / ".hydra" / "config.yaml").write_text(draw.choice(YAML))
    if draw.random() < 0.7:
        edit(folder, lambda tree: tree.pop("settings"))


def saved(array: np.ndarray, folder: Path) -> None:
    """Write a stimulus, with as many channels in the result."""
    from openretina_cli.output.tensor import tensor_bytes

    (folder / "stimulus.pt").write_bytes(tensor_bytes(array))
    put(folder, "channels", [f"channel {index}" for index in range(len(array))])


def another_shape(folder: Path, draw: random.Random) -> None:
    saved(np.ones(draw.choice([
        (1, 1, 1, 1), (2, 1, 18, 16), (17, 50, 4, 4), (1, 50, 10**6, 1), (1, 50, 1, 10**6),
        (2, 5001, 2, 2), (1, 4, 1100, 900), (1, 2100, 46, 46), (2, 50, 300, 3), (2, 50, 3, 300), (3, 50, 18, 16),
        (16, 2, 2, 2), (2, 51, 18, 16), (1, 1, 1, 1024),
    ]), np.float32), folder)  # fmt: skip


def another_content(folder: Path, draw: random.Random) -> None:
    array = np.random.default_rng(draw.randrange(100)).normal(size=(2, 50, 18, 16)).astype(np.float32)
    value = draw.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0))
    if draw.random() < 0.5:
        array[0, draw.randrange(50)] = value
    else:
        array[:] = value
    saved(array, folder)


class Trap:
    """Would make a file if it were unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, ("touch executed",)


def trapped(folder: Path, draw: random.Random) -> None:
    import pickle

    trap = pickle.dumps(Trap(), draw.randrange(6))
    nested = b"\x80\x02)" + b"q\x00h\x00\x86" * 40 + b"."  # shares its halves: 2^40 steps for who walks it
    with zipfile.ZipFile(folder / "stimulus.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "stimulus.pt", "w", draw.choice((0, 0, 8))) as archive:
        for name, content in members.items():
            archive.writestr(name, draw.choice((trap, nested)) if name.endswith("data.pkl") else content)
        for index in range(draw.choice((0, 0, 5_000))):
            archive.writestr(f"archive/{index}", b"")
    if draw.random() < 0.3:
        (folder / "stimulus.pt").write_bytes(trap)


def table(folder: Path, draw: random.Random) -> None:
    header = "response_frame,stimulus_frame,time_s,neuron_1\n"
    (folder / "response.csv").write_text(draw.choice([
        header, header + "0,30,1,nan\n" * 20, header + "0,30,1,inf\n", header + "0,30,1,1e300\n0,30,1,1\n",
        header + "0,30,1\n",
        header + "0,30,1,=1+1\n", header + '0,30,1,"1\n', header + "0,1,2,3\n" * 200_000, ",".join("x" * 200_000),
        "\n" * 10**6,
        header + "0,30,1," + "9" * 100_000, "\x0b" * 10**5, header + "0,30,1,1\r\r\n",
        header.replace("neuron_1", "=cmd()") + "0,30,1,1\n",
    ]))  # fmt: skip


def failed(folder: Path, draw: random.Random) -> None:
    """A run that failed, and is hostile too."""
    tree = {name: draw.choice(VALUES) for name in ("error", "neuron", "settings", "session", "seed", "finished")}
    (folder / "failure.json").write_text(json.dumps({"status": "failed", **tree}))
    if draw.random() < 0.7:
        (folder / "result.json").unlink()


def hydra_elsewhere(folder: Path, _: random.Random) -> None:
    shutil.move(folder / ".hydra", folder.parent / f"hydra of {folder.name}")
    (folder / ".hydra").symlink_to(folder.parent / f"hydra of {folder.name}")
    edit(folder, lambda tree: tree.pop("settings"))


KINDS: dict[str, Mutate] = {
    **{f"{name}: {place}": instead(name, make) for name in FILES for place, make in PLACES.items()},
    **{kind.__name__: kind for kind in (yaml_instead, trapped, table, failed, hydra_elsewhere)},
}
"""Kinds that stand once or a few times in a round."""

DRAWN: list[Mutate] = [
    *(truncated, flipped, one_key_gone, another_value, settings_value, user_class, excessive, deep),
    *(another_shape, another_content, trapped, table, failed, yaml_instead),
]  # fmt: skip
"""Kinds that are drawn for the mutants after the first of each."""


def mutant(number: int, good: Path, folder: Path) -> str:
    """Make a hostile folder; the same for the same number.

    Args:
        number: of the mutant.
        good: a folder of a sound run.
        folder: where to make it.

    Returns:
        The kind.
    """
    draw = random.Random(number)  # noqa: S311  # reproducible, not secret
    shutil.copytree(good, folder, symlinks=True)
    names = list(KINDS)
    if number < len(names):
        KINDS[names[number]](folder, draw)
        return names[number]
    kind = DRAWN[number % len(DRAWN)]
    kind(folder, draw)
    return kind.__name__


def verbs(number: int, kind: str, folder: Path) -> Iterator[list[str]]:
    """The commands that are tried on a mutant. Drawing and computing take longest, so kinds take turns there."""
    draw = random.Random(-number)  # noqa: S311  # reproducible, not secret
    yield ["report", str(folder)]
    harmless = kind.startswith((".hydra", "history", "table", "response", "yaml")) or kind == "hydra_elsewhere"
    if draw.random() < (0.05 if harmless else 0.6):
        yield ["validate", str(folder)]
    if draw.random() < (0.2 if kind in ("excessive", "another_shape") else 0.03):
        yield ["render", str(folder), "workers=0", *(("video=false",) * draw.randrange(2))]
    elif draw.random() < 0.6:
        yield ["render", str(folder), "workers=0", "figure=[]"]
    if draw.random() < (1.0 if kind.startswith("result.json") else 0.1):
        yield [*COMMAND, f"out={folder}"]


def faults(code: object, printed: str, errors: str, folder: Path) -> Iterator[str]:
    """What is wrong with the end of a command."""
    lines = errors.splitlines()
    if code not in (0, 1, 2):
        yield f"it ended with {code}"
    if len(lines) != (code != 0) or max(map(len, lines), default=0) > LONGEST_LINE:
        yield f"stderr has {len(lines)} lines, {len(errors)} characters: {errors[-2000:]!r}"
    if SECRET in printed + errors:
        yield "an environment variable was printed"
    if {path.name for path in Path.cwd().iterdir()} - {folder.parent.name, "canary.py"}:
        yield "something was executed or left behind: " + str(sorted(path.name for path in Path.cwd().iterdir()))
    if left := {path.name for path in folder.iterdir()} - MADE:
        yield f"{left} was left behind"
    if (folder.parent / "victim").read_text() != SECRET:
        yield "a file outside was changed"
    if (peak := peak_mb()) > LIMIT_MB:
        yield f"memory went up to {peak:.0f} MB"


def tried(command: list[str], folder: Path) -> list[str]:
    """Run a command in this process, with its two streams in files, and return what went wrong."""
    from openretina_cli.main import main

    with (folder.parent / "out").open("w+b") as out, (folder.parent / "err").open("w+b") as err:
        for stream, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), stream)
        signal.alarm(PATIENCE)
        forget_peak()
        before = time.process_time()
        try:
            code: object = main(command)
        except BaseException as error:
            code = repr(error)[:500]
        signal.alarm(0)
        seconds = time.process_time() - before
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [Path(file.name).read_bytes().decode("utf-8", "replace") for file in (out, err)]
    slow = [f"it took {seconds:.1f} s"] if seconds > LIMIT_SECONDS else []
    return [*slow, *faults(code, texts[0], texts[1], folder)]


def work(scratch: Path, first: int, stop: int) -> None:
    """Try mutants in an empty folder of this worker's own; faults are printed as they come."""
    from openretina_cli.simulation import retina
    from openretina_cli.validation import bench

    bench.natural_clips = partial(bench.natural_clips, count=2)  # 500 take 9 s
    retina.SimulatedRetina = cache(retina.SimulatedRetina)  # type: ignore[assignment, misc]  # takes 3 s, and is the same every time
    tell = os.fdopen(os.dup(1), "w", buffering=1)
    os.environ["SECRET"] = SECRET
    place = scratch / "cwd"
    runs = place / "runs"
    runs.mkdir(parents=True)
    os.chdir(place)
    (place / "canary.py").write_text("open('executed', 'w')\nclass Canary: pass\n")
    (runs / "victim").write_text(SECRET)
    good = runs / "good"
    found = tried([*COMMAND, f"out={good}"], good)
    assert not found, found
    for number in range(first, stop):
        folder = runs / "run"
        kind = mutant(number, good, folder)
        for command in verbs(number, kind, folder):
            tell.write(json.dumps({"trying": [number, kind, command[0]]}) + "\n")
            for fault in tried(command, folder):
                tell.write(json.dumps({"fault": fault, "number": number, "kind": kind, "command": command}) + "\n")
        shutil.rmtree(folder)
    tell.write(json.dumps({"tried": stop - first}) + "\n")


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
