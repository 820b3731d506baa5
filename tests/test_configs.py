"""The YAML that users compose: every option loads, is typed, is explained, and says where its numbers come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from openretina_cli.composer import compose_settings
from openretina_cli.config.location import config_directory
from openretina_cli.config.settings import Settings
from openretina_cli.help_text import optimize_help, settings_of, title_of

CONFIGS = config_directory()
OPTIONS = sorted(CONFIGS.glob("*/*.yaml"))

REQUIRED = {
    "model=ensemble_directory": ["model.path=folder"],
    "model=torch_module": [
        "model.module._target_=torch.nn.Identity",
        "model.height=18",
        "model.width=16",
        "model.channels=[grey]",
    ],
    "objective=discriminative": ["objective.on=[28]"],
    "objective=group_mei": ["neuron=[1,5,9]"],
    "objective=weighted_sum": ["objective.terms={a:{weight:1,kind:mei,neuron:3}}"],
    "objective=custom": ["objective._target_=my_objectives.Mine"],
    "experiment=most_discriminative": ["objective.on=[0,1]", "objective.off=[[2],[3,4]]"],
}
"""What a user must add to an option."""


def choice(path: Path) -> str:
    group, name = path.parent.name, path.stem
    return f"{group}=[{name}]" if group in ("constraint", "penalty") else f"{group}={name}"


@pytest.mark.parametrize("path", OPTIONS, ids=choice)
def test_every_option_composes_and_is_typed(path: Path) -> None:
    settings = compose_settings([choice(path), *REQUIRED.get(choice(path), [])])
    assert isinstance(settings, Settings)


LAUNCHERS = sorted(CONFIGS.glob("hydra/launcher/*.yaml"))


@pytest.mark.parametrize("path", [CONFIGS / "optimize.yaml", *OPTIONS, *LAUNCHERS], ids=lambda path: path.stem)
def test_every_setting_is_explained(path: Path) -> None:
    assert title_of(path)
    for setting in settings_of(path):
        assert setting.help, f"{path.name}: {setting.key} has no comment"


def numbers(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"^ *\w+: -?[\d.]+( |$)", line):
            yield line


@pytest.mark.parametrize("path", [*OPTIONS, *LAUNCHERS], ids=choice)
def test_every_number_says_where_it_comes_from(path: Path) -> None:
    for line in numbers(path):
        assert re.search(r"#.*(\(|as |first)", line), line


def test_the_defaults_are_the_example_notebooks() -> None:
    settings = compose_settings([])
    assert settings.neuron == 42
    assert (settings.stimulus.frames, settings.stimulus.std, settings.stimulus.norm) == (50, 0.1, 5.0)
    assert vars(settings.reducer) == {"kind": "slice_mean", "start": 10, "length": 10}
    assert settings.optimizer.target == "torch.optim.SGD"
    assert settings.optimizer.arguments == {"lr": 10.0}
    assert vars(settings.stopper)["max_iterations"] == 10
    (constraint,) = settings.constraint.values()
    assert vars(constraint)["norm"] == 5.0
    assert vars(constraint)["range"] == ((-0.654, 6.269), (-0.913, 6.269))


def test_the_papers_experiment_has_the_papers_settings() -> None:
    settings = compose_settings(["experiment=hoefling_2024"])
    assert settings.stimulus.norm == 30.0
    assert vars(settings.reducer) == {"kind": "mean"}  # all 20 frames
    assert vars(settings.model)["center_readouts"] is True
    assert settings.optimizer.arguments == {"lr": 10.0}
    assert vars(settings.stopper) == {"kind": "early", "max_iterations": 1000, "patience": 10, "min_delta": 0.001}


def test_constraints_keep_the_order_they_are_chosen_in() -> None:
    assert list(compose_settings(["constraint=[temporal_lowpass,norm,range]"]).constraint) == [
        "temporal_lowpass",
        "norm",
        "range",
    ]
    assert compose_settings(["constraint=[]"]).constraint == {}


def test_an_experiment_leaves_the_constraint_to_the_user() -> None:
    settings = compose_settings(["experiment=hoefling_2024", "constraint=[norm_and_range]"])
    assert vars(settings.constraint["norm_and_range"])["norm"] == 30.0


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
