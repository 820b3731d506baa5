"""Sweeps: expanded as Hydra would, composed as Hydra would, made as stacks, and every run as if it had been alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import DATA
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from openretina_cli.config.compose import compose, read_arguments, without_hydra
from openretina_cli.config.expand import Cells, expand, spelled_out
from openretina_cli.config.folder_name import short
from openretina_cli.config.settings import read_settings
from openretina_cli.config.template import Template, shared_part
from openretina_cli.errors import SettingError
from openretina_cli.main import main

CHEAP = ("model.members=[0]", "stopper.max_iterations=2", "output=minimal", "device=cpu")
CELLS = Cells({"dorsal": 3, "ventral": 2}, "ventral")


def parsed(*texts: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(texts))


def texts(overrides: Sequence[Override]) -> list[list[str]]:
    return [[assignment.text for assignment in request] for request in expand(overrides, lambda: CELLS)]


# --- expanding

values = st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)


@given(values, values, values)
def test_runs_come_in_hydras_order(neurons: list[int], seeds: list[int], norms: list[int]) -> None:
    overrides = parsed(
        *(
            f"{k}={','.join(map(str, v))}"
            for k, v in zip(("neuron", "stimulus.norm", "seed"), (neurons, norms, seeds), strict=True)
        ),
        "objective=mdi",
    )
    assert texts(overrides) == BasicSweeper.split_arguments(overrides, None)[0]


def test_a_span_is_a_range() -> None:
    assert texts(parsed("neuron=0..3,7", "seed=1")) == [[f"neuron={n}", "seed=1"] for n in (0, 1, 2, 3, 7)]
    assert texts(parsed("neuron=2..2")) == [["neuron=2"]]


def test_a_list_is_one_run() -> None:
    assert texts(parsed("neuron=[1,2]")) == [["neuron=[1,2]"]]
    assert texts(parsed("neuron=[1,2],[3,4]")) == [["neuron=[1,2]"], ["neuron=[3,4]"]]


def test_all_means_every_session_and_its_own_neurons() -> None:
    assert texts(parsed("session=all", "neuron=all", "seed=5")) == [
        [f"session={session}", f"neuron={neuron}", "seed=5"]
        for session, count in CELLS.sessions.items()
        for neuron in range(count)
    ]
    assert texts(parsed("neuron=all")) == [["neuron=0"], ["neuron=1"]]  # of the default session


def test_hydras_launchers_are_told_without_our_shorthands() -> None:
    told = spelled_out(parsed("neuron=0..2", "session=all", "seed=1,2"), lambda: CELLS)
    assert told == ["neuron=0,1,2", "session=dorsal,ventral", "seed=1,2"]
    assert spelled_out(parsed("neuron=all"), lambda: CELLS) == ["neuron=0,1"]
    with pytest.raises(SettingError, match="other neurons in each session"):
        spelled_out(parsed("neuron=all", "session=all"), lambda: CELLS)


# --- names


@given(st.text(max_size=300), st.text(max_size=300))
def test_names_of_folders_are_short_and_tell_runs_apart(one: str, other: str) -> None:
    for name in (short(one), short(other)):
        assert "/" not in name
        assert 0 < len(name.encode()) < 255
    same = sorted(one.split(",")) == sorted(other.split(","))  # the order of overrides does not matter
    assert short(one) != short(other) or same or {one, other} == {"", "run"}


def test_a_name_begins_with_what_tells_runs_apart() -> None:
    assert short("neuron=4,objective.off=[[1,2],[3]],seed=1") == "neuron=4,seed=1,objective.off=[[1,2],[3]]"
    assert re.fullmatch(r"neuron=4,model\.path=ensemble-\w{8}", short("model.path=/a/b/ensemble,neuron=4"))


# --- composing

SHARED_AND_VARIED = [
    ("neuron=3", "seed=5"),
    ("neuron=[1,2]", "objective=mdi", "session=simulated_ventral"),
    ("objective=discriminative", "objective.on=[28]", "seed=7", "constraint=[norm,range]"),
    ("experiment=hoefling_2024", "neuron=0", "+stimulus.file=noise_${seed}.pt", "optimizer.lr=${neuron}"),
]


@pytest.mark.parametrize("varied", SHARED_AND_VARIED)
def test_a_run_is_composed_as_hydra_would(varied: tuple[str, ...]) -> None:
    overrides = (*varied, "out=runs")  # by default the folder is named after the second of each composition
    args, _ = read_arguments(["-m"])
    whole = compose(args, overrides)
    (request,) = expand(parsed(*overrides), lambda: CELLS)
    template = Template(compose(args, shared_part(request)))
    before = HydraConfig.instance().cfg
    try:
        job = template.job(17, request)
        assert OmegaConf.to_yaml(without_hydra(template.config)) == OmegaConf.to_yaml(without_hydra(whole))
        assert template.config.hydra.overrides.task == job.overrides == list(overrides)
        assert vars(job.settings) == vars(read_settings(without_hydra(whole)))
    finally:
        HydraConfig.instance().cfg = before


# --- running


def sweep(out: Path, *overrides: str) -> int:
    return main(["optimize", "-m", *CHEAP, f"out={out}", *overrides])


def results(folder: Path) -> Mapping[str, Any]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/result.json"))}


def stamps(folder: Path) -> Mapping[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}


def stimulus(folder: Path) -> torch.Tensor:
    loaded: torch.Tensor = torch.load(folder / "stimulus.pt", weights_only=True)
    return loaded


def test_every_run_of_a_sweep_is_the_run_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    assert sweep(out, "neuron=4..6", "seed=1,2", "session=all") == 0
    assert "12" in capsys.readouterr().out
    assert len(results(out)) == 12
    for seed, session in ((1, "simulated_dorsal"), (2, "simulated_ventral")):
        alone = tmp_path / "alone" / session
        chosen = (f"seed={seed}", f"session={session}", "neuron=5")
        assert main(["optimize", *CHEAP, f"out={alone}", *chosen]) == 0
        together = out / f"session={session},neuron=5,seed={seed}"
        # float32 sums over a larger batch may be taken in another order, two steps amplify that a little
        torch.testing.assert_close(stimulus(together), stimulus(alone), rtol=1e-5, atol=1e-6)
        one, other = (json.loads((folder / "result.json").read_text()) for folder in (together, alone))
        assert one["objective"]["final"] == pytest.approx(other["objective"]["final"], rel=1e-5)
        assert one["identity"] == other["identity"]


def test_a_run_of_a_sweep_leaves_what_hydra_leaves(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=4,5") == 0
    folder = tmp_path / "neuron=5"
    assert {path.name for path in folder.iterdir()} == {
        *("stimulus.pt", "history.csv", "response.csv", "result.json", "optimize.log", ".hydra")
    }
    assert yaml.safe_load((folder / ".hydra/overrides.yaml").read_text()) == [*CHEAP, f"out={tmp_path}", "neuron=5"]
    assert OmegaConf.load(folder / ".hydra/config.yaml").neuron == 5
    hydra = OmegaConf.load(folder / ".hydra/hydra.yaml").hydra
    assert (hydra.job.num, hydra.runtime.output_dir) == (1, str(folder))
    assert "neuron 5" in (folder / "optimize.log").read_text()
    assert "neuron 4" not in (folder / "optimize.log").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".staged")]


def test_a_sweep_has_a_table_a_stack_and_a_page(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=4,5") == 0
    assert (tmp_path / "summary.csv").read_text().count("\n") == 3
    assert (tmp_path / "index.html").stat().st_size
    assert (tmp_path / "stimuli.npz").stat().st_size


def test_a_run_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, "neuron=119..121") == 1
    assert "2 of 3 runs failed" in capsys.readouterr().err
    failure = json.loads((tmp_path / "neuron=121/failure.json").read_text())
    assert failure["status"] == "failed"
    assert "neuron=121 is not in session" in failure["error"]
    assert "failed" in (tmp_path / "summary.csv").read_text()
    assert len(results(tmp_path)) == 1


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=500,1", "fail_fast=true") == 1
    assert not results(tmp_path)


def test_a_run_that_diverges_is_a_failed_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverging = ("optimizer.lr=3e38", "constraint=[]", "neuron=1,2", "stopper.max_iterations=10")
    assert sweep(tmp_path, *diverging) == 1
    assert sweep(tmp_path, *diverging) == 1  # and stays one, without being made again
    assert "2 of 2 runs failed" in capsys.readouterr().err


# --- going on


def test_a_second_sweep_makes_only_what_is_missing(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=4..6") == 0
    before = stamps(tmp_path)
    assert sweep(tmp_path, "neuron=4..8") == 0
    after = stamps(tmp_path)
    assert len(after) == 5
    assert before.items() <= after.items()


def test_failed_runs_are_made_again(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=4,500") == 1
    (failed,) = tmp_path.glob("*/failure.json")
    finished = stamps(tmp_path)
    assert sweep(tmp_path, "neuron=4,500") == 1
    assert failed.is_file()
    assert stamps(tmp_path) == finished


def own_default(tmp_path: Path, std: float) -> str:
    folder = tmp_path / "configs" / "stimulus"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(f"defaults: [pixels]\nstd: {std}\n")
    return str(tmp_path / "configs")


def test_runs_whose_settings_changed_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    given_by_hand = out / "neuron=4" / "notes.txt"
    for std in (0.1, 0.1, 0.2):
        assert sweep(out, "neuron=4,5", "stimulus=mine", "--config-dir", own_default(tmp_path, std)) == 0
        given_by_hand.write_text("mine")
    assert "2 made again, as stimulus.std changed" in capsys.readouterr().out
    assert given_by_hand.read_text() == "mine"
    assert {result["settings"]["stimulus"]["std"] for result in results(out).values()} == {0.2}


def copied_ensemble(folder: Path, seed: int) -> None:
    """One member of the reference ensemble, of a seed, under the name of seed 0."""
    folder.mkdir(exist_ok=True)
    for path in (DATA / "ensemble").glob(f"*{seed:05d}*"):
        shutil.copyfile(path, folder / path.name.replace(f"{seed:05d}", "00000"))


def test_runs_whose_checkpoint_changed_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ("model=ensemble_directory", f"model.path={tmp_path / 'own'}", "neuron=4,5")
    out = tmp_path / "sweep"
    copied_ensemble(tmp_path / "own", 0)
    assert sweep(out, *own) == 0
    before = stamps(out)
    copied_ensemble(tmp_path / "own", 1000)
    capsys.readouterr()
    assert sweep(out, *own) == 0
    assert "2 made again, as the weights of the model changed" in capsys.readouterr().out
    assert not stamps(out).items() & before.items()


def test_overwriting_makes_everything_again(tmp_path: Path) -> None:
    assert sweep(tmp_path, "neuron=4,5") == 0
    before = stamps(tmp_path)
    assert sweep(tmp_path, "neuron=4,5", "overwrite=true") == 0
    assert not stamps(tmp_path).items() & before.items()


def test_a_user_defined_sweep_in_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    content = {"hydra": {"sweeper": {"params": {"neuron": "4..5", "seed": "1,2"}}}}
    (folder / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content))
    out = tmp_path / "sweep"
    assert sweep(out, "experiment=mine", "--config-dir", str(tmp_path / "configs")) == 0
    assert len(results(out)) == 4
