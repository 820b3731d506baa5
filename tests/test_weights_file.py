"""A module gets its weights out of whatever a training leaves around them, and is told what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_safe_files import hostile_calls
from tiny_runs import Tiny, optimize, result
from torch import Tensor, nn

from openretina_cli.errors import ModelError
from openretina_cli.models.weights_file import fill


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Sequential(nn.Conv3d(1, 2, (2, 3, 3)), nn.BatchNorm3d(2))
        self.readout = nn.Linear(2, 3)


@dataclass
class Config:
    """Stands for the hyper-parameters that a laboratory's own class holds."""

    width: int
    parent: Any = None


def trained() -> Net:
    torch.manual_seed(1)
    return Net()


def named(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def lightning(state: Mapping[str, Tensor]) -> dict[str, Any]:
    net = Net()
    config = Config(3)
    config.parent = [config]
    return {
        "epoch": 3,
        "state_dict": {**named(state, "model."), "loss.weight": torch.ones(2)},
        "optimizer_states": [torch.optim.Adam(net.parameters()).state_dict()],
        "hyper_parameters": {"config": config, "act": nn.functional.relu, "path": Path("somewhere")},
    }


def safetensors(state: Mapping[str, Tensor]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, value in state.items():
        raw = value.numpy().tobytes()
        kind = {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
        offsets = [len(content), len(content) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        content += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def compiled_inside(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("core.", "core._orig_mod."): value for name, value in state.items()}


WRAPPINGS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "state dict": (lambda state: state, ()),
    "lightning": (lightning, ("in its state_dict", "without model.", "without loss.weight")),
    "model_state_dict": (lambda state: {"epoch": 3, "model_state_dict": state}, ("in its model_state_dict",)),
    "a dict of two": (lambda state: {"model": state, "optimizer": {"lr": 0.1}}, ("in its model",)),
    "twice": (lambda state: {"model": {"state_dict": state}}, ("in its model.state_dict",)),
    "data parallel": (lambda state: named(state, "module."), ("without module.",)),
    "compiled": (lambda state: named(state, "_orig_mod."), ("without _orig_mod.",)),
    "compiled in part": (compiled_inside, ("without _orig_mod.",)),
    "several": (lambda state: named(state, "model.module._orig_mod."), ("without",)),
    "safetensors": (safetensors, ()),
    "safetensors of a wrapper": (lambda state: safetensors(named(state, "model.")), ("without model.",)),
}


def write(path: Path, saved: Any) -> Path:
    path.write_bytes(saved) if isinstance(saved, bytes) else torch.save(saved, path)
    return path


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_taken_out_of_any_common_wrapping_and_what_was_stripped_is_said(
    wrapping: str, tmp_path: Path
) -> None:
    make, words = WRAPPINGS[wrapping]
    expected, net, said = trained().state_dict(), Net(), list[str]()
    fill(net, write(tmp_path / "net.ckpt", make(expected)), said.append)
    assert all(torch.equal(value, expected[name]) for name, value in net.state_dict().items())
    assert len(said) == (1 if words else 0)
    assert all(word in said[0] for word in words)


def test_a_module_with_a_wrapper_of_its_own_takes_the_weights_of_a_bare_one_and_of_itself(tmp_path: Path) -> None:
    for saved in (trained(), nn.DataParallel(trained())):
        wrapped = nn.DataParallel(Net())
        fill(wrapped, write(tmp_path / "net.pt", saved.state_dict()), list[str]().append)
        assert torch.equal(wrapped.module.readout.weight, trained().readout.weight)


def test_a_part_that_is_called_as_a_wrapper_is_stays(tmp_path: Path) -> None:
    parts = nn.ModuleDict({"model": nn.Linear(1, 2), "net": nn.Linear(1, 2)})
    filled, said = nn.ModuleDict({"model": nn.Linear(1, 2), "net": nn.Linear(1, 2)}), list[str]()
    fill(filled, write(tmp_path / "net.pt", parts.state_dict()), said.append)
    assert all(torch.equal(value, parts.state_dict()[name]) for name, value in filled.state_dict().items())
    assert said == []


def _without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in trained().state_dict().items() if key != name}


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (named(_without("readout.bias"), "model."), ["missing readout.bias"]),
        ({**trained().state_dict(), "head.weight": torch.ones(1)}, ["unexpected head.weight"]),
        (named({**trained().state_dict(), "head.w": torch.ones(1)}, "model."), ["unexpected head.w"]),
        ({**_without("readout.bias"), "readout.bias": torch.ones(7)}, ["readout.bias (7,) instead of (3,)"]),
        ({f"other.{index}": torch.ones(1) for index in range(900)}, ["missing core.0.", "other.2 and 897 more"]),
        ({**trained().state_dict(), "module.readout.bias": torch.ones(3)}, ["unexpected module.readout.bias"]),
        (
            {"epoch": 3, "note": "x" * 10_000},
            ["holds no state dict, but epoch, note", "torch.save(module.state_dict()"],
        ),
        (Config(3), ["holds a test_weights_file.Config", "torch.save(module.state_dict()"]),
        ({"state_dict": {"w": torch.ones(1), "k": "text"}}, ["k is a str, not a tensor"]),
        ([torch.ones(1)], ["holds a list"]),
    ],
)
def test_what_does_not_fit_is_named_in_one_short_line(saved: Any, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        fill(Net(), write(tmp_path / "net.pt", saved), list[str]().append)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) - len(str(tmp_path)) < 500
    assert all(word in line for word in words), line


def test_nothing_beside_the_weights_is_executed_or_imported(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name, call in hostile_calls(marker).items():
        net = Net()
        path = write(tmp_path / "net.ckpt", {**lightning(trained().state_dict()), "callbacks": [call]})
        fill(net, path, list[str]().append)
        assert torch.equal(net.readout.weight, trained().readout.weight), name
        inside = write(tmp_path / "net.ckpt", {"state_dict": {"w": torch.ones(1), "k": call}})
        with pytest.raises(ModelError):
            fill(net, inside, list[str]().append)
        assert not marker.exists(), name


def test_damaged_safetensors_are_one_line_or_read(tmp_path: Path) -> None:
    whole, random = safetensors(trained().state_dict()), np.random.default_rng(0)
    header, lines = 8 + int.from_bytes(whole[:8], "little"), []
    for trial in range(300):
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[random.integers(header, size=1 + trial % 3)] = random.choice([*b'0123456789-[]{}",:eF\x00\xff'])
        content = broken.tobytes()[: None if trial % 5 else random.integers(len(whole))]
        try:
            fill(Net(), write(tmp_path / "net.safetensors", content), list[str]().append)
        except ModelError as error:
            lines.append(str(error).replace(str(tmp_path), ""))
    assert len(lines) > 200
    assert all(len(line) < 500 and "\n" not in line for line in lines)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**30], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**20, 2**20, 0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]},
        {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F8", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"shape": [1]},
        7,
    ],
)
def test_what_a_header_declares_is_bounded_by_the_file(entry: Any, tmp_path: Path) -> None:
    text = json.dumps({"readout.bias": entry}).encode()
    path = write(tmp_path / "net.safetensors", len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(ModelError):
        fill(Net(), path, list[str]().append)


def test_a_run_says_what_was_stripped_of_its_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path / "net.ckpt", {"state_dict": named(Tiny().state_dict(), "model.")})
    assert optimize(tmp_path / "run", f"model.weights={path}") == 0
    assert result(tmp_path / "run")["warnings"][:1] == [
        "the weights of net.ckpt are taken: those in its state_dict, without model. in their names"
    ]
