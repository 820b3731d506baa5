"""The YAML that users compose: every option loads, is typed, is explained, and says where its numbers come from."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from conftest import DATA
from omegaconf import OmegaConf

from openretina_cli.config.compose import compose_settings
from openretina_cli.config.help import settings_of, title_of
from openretina_cli.config.settings import LISTS, Settings
from openretina_cli.config.target import OFFERED
from openretina_cli.models.ensemble import load_ensemble
from openretina_cli.reducer import MeanReducer
from openretina_cli.store.package import config_directory
from openretina_cli.verbs.optimize import optimize_help

CONFIGS = config_directory()
FORMATS = sorted(CONFIGS.glob("format/*.yaml"))
PROBES = sorted(CONFIGS.glob("probe/*.yaml"))
OPTIONS = sorted({*CONFIGS.glob("*/*.yaml")} - {*FORMATS, *PROBES})
MAIN = [CONFIGS / "optimize.yaml", CONFIGS / "export.yaml", CONFIGS / "probe.yaml"]

REQUIRED = {
    "model=core_readout": ["model.path=file.ckpt"],
    "model=ensemble_directory": ["model.path=folder"],
    "model=torch_module": [
        "model.module._target_=my_modules.Mean",
        "model.height=18",
        "model.width=16",
        "model.channels=[grey]",
    ],
    "constraint=[display]": ["constraint.display.mean=100", "constraint.display.std=50"],
    "constraint=[mask]": ["constraint.mask.sigma_um=100"],
    "constraint=[pin]": ["constraint.pin.first=3"],
    "gradient=[mask]": ["gradient.mask.sigma_um=100"],
    "stimulus=clip": ["stimulus.movie=movie.npy"],
    "objective=discriminative": ["objective.on=[28]"],
    "objective=difference": ["objective.other_neuron=[3,4]"],
    "objective=diverse": ["objective.reference=stimulus.pt"],
    "objective=group_mei": ["neuron=[1,5,9]"],
    "objective=match": ["objective.file=target.npy"],
    "objective=ratio": ["objective.other_neuron=5"],
    "objective=unit": ["objective.layer=members.0.core.features.layer0"],
    "objective=weighted_sum": ["+objective@objective.terms.a=mei", "objective.weights={a:1}"],
    "objective=custom": ["objective._target_=my_objectives.Mine"],
    "experiment=most_discriminative": ["objective.on=[0,1]", "objective.off=[[2],[3,4]]"],
}
"""What a user must add to an option."""


def choice(path: Path) -> str:
    group, name = path.parent.name, path.stem
    return f"{group}=[{name}]" if group in LISTS else f"{group}={name}"


@pytest.mark.parametrize("path", OPTIONS, ids=choice)
def test_every_option_composes_and_is_typed(path: Path) -> None:
    settings = compose_settings([choice(path), *REQUIRED.get(choice(path), [])])
    assert isinstance(settings, Settings)


MODULE = """
import torch

class Mean(torch.nn.Module):
    def forward(self, stimulus):
        return stimulus.mean(dim=(1, 3, 4))[:, :, None]
"""
DOWNLOADED = [path.stem for path in OPTIONS if "https://" in path.read_text(encoding="utf-8")]
"""Models that need a network."""


@pytest.fixture(scope="module")
def offered() -> dict[str, object]:
    """What the pipeline passes by name."""
    retina = load_ensemble(DATA / "ensemble", members=[0])
    session = next(iter(retina.facts.sessions))
    facts = replace(retina.facts, groups={session: (28,) * 50 + (31,) * 63}, pixel_size=50.0)
    reducer = MeanReducer()
    offers = {"model": retina, "data_key": session, "response_reducer": reducer, "facts": facts, "seed": 0}
    return {**offers, "frames": 50, "device": torch.device("cpu"), "report": None}


def built(node: Mapping[str, Any], offered: Mapping[str, object]) -> object:
    """What Hydra makes of an option, given by hand what the pipeline offers."""
    if "schedule" in node:
        optimizer = built({key: value for key, value in node.items() if key != "schedule"}, offered)
        return hydra.utils.instantiate(OmegaConf.create(dict(node["schedule"])), optimizer)
    inner = {name: node[name] for name in ("of", "terms") if name in node}
    config = OmegaConf.create({**node, **dict.fromkeys(inner)})
    wanted = inspect.signature(hydra.utils.get_object(node["_target_"])).parameters
    given = {name: value for name, value in offered.items() if name in wanted and name not in node}
    if "terms" in node:
        given["terms"] = {name: built(term, offered) for name, term in node["terms"].items()}
    if "of" in node:
        given["of"] = built(node["of"], offered)
    if "params" in wanted:
        given["params"] = [torch.zeros(1, requires_grad=True)]
    return hydra.utils.instantiate(config, _convert_="all", _partial_=True)(**given)


@pytest.mark.parametrize("path", [p for p in OPTIONS if p.parent.name != "experiment"], ids=choice)
def test_every_option_builds_through_hydras_own_instantiate(
    path: Path, offered: dict[str, object], zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path.stem in DOWNLOADED:
        pytest.skip("needs a network")
    (tmp_path / "my_objectives.py").write_text(
        "from openretina_cli import IncreaseObjective\nclass Mine(IncreaseObjective): ..."
    )
    (tmp_path / "my_modules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_objectives", None)
    del sys.modules["my_objectives"]
    places = {
        "model.path=folder": f"model.path={DATA / 'ensemble'}",
        "model.path=file.ckpt": f"model.path={zoo / 'lnp_exp.ckpt'}",
        "objective.reference=stimulus.pt": f"objective.reference={tmp_path / 'stimulus.pt'}",
        "objective.file=target.npy": f"objective.file={tmp_path / 'target.npy'}",
    }
    np.save(tmp_path / "target.npy", np.ones(1))
    torch.save(torch.ones(1, 2, 50, 18, 16), tmp_path / "stimulus.pt")
    required = [places.get(text, text) for text in REQUIRED.get(choice(path), [])]
    if path.stem == "custom":
        required.append("+objective.neuron_indices=3")
    node = compose_settings([choice(path), *required]).values[path.parent.name]
    nodes = node.values() if path.parent.name in LISTS else [node]
    for option in nodes:
        assert built(option, offered) is not None


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("hydra/launcher/*.yaml")), ids=lambda path: path.stem)
def test_every_launcher_builds_through_hydras_own_instantiate(path: Path) -> None:
    assert hydra.utils.instantiate(OmegaConf.load(path)).workers is None


def test_the_pipeline_offers_what_the_test_above_gives_by_hand(offered: dict[str, object]) -> None:
    assert set(offered) == OFFERED


LAUNCHERS = sorted(CONFIGS.glob("hydra/launcher/*.yaml"))


@pytest.mark.parametrize(
    "path",
    [*MAIN, *OPTIONS, *FORMATS, *PROBES, *LAUNCHERS],
    ids=lambda path: path.stem,
)
def test_every_setting_is_explained(path: Path) -> None:
    assert title_of(path)
    for setting in settings_of(path):
        assert setting.help, f"{path.name}: {setting.key} has no comment"


def numbers(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"^ *\w+: -?[\d.]+( |$)", line):
            yield line


@pytest.mark.parametrize("path", [*MAIN[1:], *OPTIONS, *FORMATS, *PROBES, *LAUNCHERS], ids=choice)
def test_every_number_says_where_it_comes_from(path: Path) -> None:
    for line in numbers(path):
        assert re.search(r"#.*(\(|as |first)", line), line


def test_the_defaults_are_the_example_notebooks() -> None:
    settings = compose_settings([])
    assert settings.neuron == 42
    start = {"frames": 50, "mean": 0.0, "std": 0.1, "norm": 5.0, "file": None}
    assert (settings.stimulus.name, settings.stimulus.arguments) == ("pixels", start)
    assert settings.reducer.target.endswith(".SliceMeanReducer")
    assert settings.reducer.arguments == {"start": 10, "length": 10}
    assert settings.optimizer.target == "torch.optim.SGD"
    assert settings.optimizer.arguments == {"lr": 10.0}
    assert settings.stopper.arguments == {"max_iterations": 10}
    (constraint,) = settings.constraint.values()
    assert constraint.arguments == {"norm": 5.0, "range": [[-0.654, 6.269], [-0.913, 6.269]]}


def test_the_papers_experiment_has_the_papers_settings() -> None:
    settings = compose_settings(["experiment=hoefling_2024"])
    assert settings.stimulus.arguments["norm"] == 30.0
    assert settings.reducer.target.endswith(".MeanReducer")  # all 20 frames
    assert settings.model.arguments["center_readouts"] is True
    assert settings.optimizer.arguments == {"lr": 10.0}
    assert settings.stopper.arguments == {"max_iterations": 1000, "patience": 10, "min_delta": 0.001}


def test_constraints_keep_the_order_they_are_chosen_in() -> None:
    assert list(compose_settings(["constraint=[temporal_lowpass,norm,range]"]).constraint) == [
        "temporal_lowpass",
        "norm",
        "range",
    ]
    assert compose_settings(["constraint=[]"]).constraint == {}


def test_an_experiment_leaves_the_constraint_to_the_user() -> None:
    settings = compose_settings(["experiment=hoefling_2024", "constraint=[norm_and_range]"])
    assert settings.constraint["norm_and_range"].arguments["norm"] == 30.0


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("out=elsewhere", True),
        ("device=cpu", True),
        ("overwrite=true", True),
        ("fail_fast=true", True),
        ("seed=1", False),
        ("neuron=1", False),
    ],
)
def test_runs_are_the_same_where_what_they_compute_is(override: str, same: bool) -> None:
    assert (compose_settings([override]).key == compose_settings([]).key) is same


@pytest.mark.parametrize(
    ("text", "neurons"), [("7", 7), ("[1,5,9]", (1, 5, 9)), ("3..6", (3, 4, 5, 6)), ("all", "all")]
)
def test_neurons_can_be_named_in_four_ways(text: str, neurons: object) -> None:
    assert compose_settings([f"neuron={text}"]).neuron == neurons


def test_a_folder_of_the_users_brings_options_and_help(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("# My steps.\n_target_: torch.optim.RMSprop\nlr: 0.5  # mine\n")
    settings = compose_settings(["--config-dir", str(tmp_path), "optimizer=mine"])
    assert settings.optimizer.target == "torch.optim.RMSprop"
    assert "My steps." in optimize_help([CONFIGS, tmp_path], 80)


def test_help_names_every_group_option_and_default_setting() -> None:
    text = optimize_help([CONFIGS], 100)
    for path in [*OPTIONS, *LAUNCHERS]:
        assert re.search(rf"^  {path.stem}\b", text, flags=re.MULTILINE), path
    for setting in ("neuron=42", "optimizer.lr=10.0", "stimulus.norm=5.0", "experiment=null"):
        assert setting in text
